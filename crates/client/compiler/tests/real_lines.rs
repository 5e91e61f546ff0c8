//! Command lines as large builds really run them: Linux with gcc and with LLVM, CMake, autoconf, Kconfig.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use support::{check_all, facts, step};

/// What Linux gives to gcc for nearly every file, x86-64.
const LINUX_GCC: &str = "gcc -Wp,-MMD,kernel/.fork.o.d -nostdinc -I./arch/x86/include -I./arch/x86/include/generated \
    -I./include -I./arch/x86/include/uapi -include ./include/linux/compiler-version.h -include ./include/linux/kconfig.h \
    -include ./include/linux/compiler_types.h -D__KERNEL__ -fmacro-prefix-map=./= -std=gnu11 -fshort-wchar \
    -funsigned-char -fno-common -fno-PIE -fno-strict-aliasing -mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx \
    -fcf-protection=none -m64 -falign-jumps=1 -falign-loops=1 -mno-80387 -mno-fp-ret-in-387 \
    -mpreferred-stack-boundary=3 -mskip-rax-setup -march=x86-64 -mtune=generic -mno-red-zone -mcmodel=kernel \
    -Wno-sign-compare -fno-asynchronous-unwind-tables -mindirect-branch=thunk-extern -mindirect-branch-register \
    -mindirect-branch-cs-prefix -mfunction-return=thunk-extern -fno-jump-tables -mharden-sls=all \
    -fpatchable-function-entry=16,16 -fno-delete-null-pointer-checks -O2 -fno-allow-store-data-races \
    -fstack-protector-strong -fno-omit-frame-pointer -fno-optimize-sibling-calls -ftrivial-auto-var-init=zero \
    -fno-stack-clash-protection -fzero-call-used-regs=used-gpr -pg -mrecord-mcount -mfentry -DCC_USING_FENTRY \
    -falign-functions=16 -fno-strict-overflow -fstack-check=no -fconserve-stack -fno-builtin-wcslen -Wall -Wextra \
    -Wundef -Werror=implicit-function-declaration -Wframe-larger-than=2048 -Wno-format-security -Wno-trigraphs \
    --param=allow-store-data-races=0 -g -gdwarf-5 -fplugin=./scripts/gcc-plugins/randomize_layout_plugin.so \
    -fplugin-arg-randomize_layout_plugin-performance-mode -DRANDSTRUCT -mstack-protector-guard-reg=gs \
    -mstack-protector-guard-symbol=__ref_stack_chk_guard -DKBUILD_MODFILE='\"kernel/fork\"' \
    -DKBUILD_BASENAME='\"fork\"' -DKBUILD_MODNAME='\"fork\"' -D__KBUILD_MODNAME=kmod_fork -c -o kernel/fork.o kernel/fork.c";

/// The same for clang.
const LINUX_CLANG: &str = "clang -Wp,-MMD,kernel/.fork.o.d -nostdinc -I./include -include ./include/linux/kconfig.h \
    -D__KERNEL__ --target=x86_64-linux-gnu -fintegrated-as -Werror=unknown-warning-option -Werror=ignored-optimization-argument \
    -Werror=option-ignored -Werror=unused-command-line-argument -fmacro-prefix-map=./= -std=gnu11 -fshort-wchar \
    -mretpoline-external-thunk -mstack-alignment=8 -mskip-rax-setup -fno-delete-null-pointer-checks -O2 \
    -fstack-protector-strong -fno-stack-clash-protection -fsanitize=kcfi -fsanitize-cfi-icall-experimental-normalize-integers \
    -ftrivial-auto-var-init=zero -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang \
    -mllvm -asan-mapping-offset=0xdffffc0000000000 -fsanitize=kernel-address -mllvm -asan-stack=1 -flto=thin -fsplit-lto-unit \
    -fvisibility=hidden -Wno-gnu -Wno-unaligned-access -fstrict-flex-arrays=3 -fno-discard-value-names -c -o kernel/fork.o kernel/fork.c";

#[test]
fn linux() {
    let step = step(LINUX_GCC);
    assert_eq!(
        support::shown(LINUX_GCC),
        "Compile C | kernel/fork.c | in ./scripts/gcc-plugins/randomize_layout_plugin.so \
         | out kernel/fork.o kernel/.fork.o.d | rule kernel/.fork.o.d | cwd | [Plugin]"
    );
    let said = step.preprocessing.unwrap();
    assert_eq!(
        (said.directories.len(), said.forced.len(), said.macros.len()),
        (4, 3, 7)
    );
    assert!(said.no_standard_directories);
    // Macros of a file do not make another question to the compiler.
    assert!(!facts(LINUX_GCC).contains("KBUILD"), "{}", facts(LINUX_GCC));
    assert!(facts(LINUX_GCC).contains("-mcmodel=kernel"));
    assert_eq!(
        support::shown(LINUX_CLANG),
        "Compile C | kernel/fork.c | out kernel/fork.o kernel/.fork.o.d | rule kernel/.fork.o.d | [LinkTimeOptimization]"
    );
}

#[test]
fn steps_of_linux() {
    check_all(
        "
        gcc -Wp,-MMD,scripts/basic/.fixdep.d -Wall -O2 -fomit-frame-pointer -std=gnu11 -I ./scripts/basic -o scripts/basic/fixdep scripts/basic/fixdep.c => Link C | scripts/basic/fixdep.c | out scripts/basic/fixdep scripts/basic/.fixdep.d | rule scripts/basic/.fixdep.d
        gcc -Wp,-MMD,./.bounds.s.d -nostdinc -I./include -D__KERNEL__ -fverbose-asm -S -o kernel/bounds.s kernel/bounds.c => CompileToAssembly C | kernel/bounds.c | out kernel/bounds.s ./.bounds.s.d | rule ./.bounds.s.d
        gcc -Wp,-MMD,arch/.entry.o.d -nostdinc -D__ASSEMBLY__ -fno-PIE -m64 -Wa,-gdwarf-5 -c -o arch/entry.o arch/entry.S => Assemble AssemblerWithCpp | arch/entry.S | out arch/entry.o arch/.entry.o.d | rule arch/.entry.o.d | cwd | [InputsNameInputs]
        gcc -E -Wp,-MMD,arch/.vmlinux.lds.d -nostdinc -P -Ux86 -D__ASSEMBLY__ -DLINKER_SCRIPT -o arch/vmlinux.lds arch/vmlinux.lds.S => Preprocess AssemblerWithCpp | arch/vmlinux.lds.S | out arch/vmlinux.lds arch/.vmlinux.lds.d | rule arch/.vmlinux.lds.d | [InputsNameInputs]
        gcc -E -Wp,-MMD,d.pre.tmp -nostdinc -I./dts -undef -D__DTS__ -x assembler-with-cpp -o x.dts.tmp x.dts => Preprocess AssemblerWithCpp | x.dts | out x.dts.tmp d.pre.tmp | rule d.pre.tmp | [OtherPreprocessing, InputsNameInputs]
        ld -m elf_x86_64 -z noexecstack --no-warn-rwx-segments -r -o drivers/x.o @drivers/x.mod => Link | in drivers/a.o drivers/b.o drivers/x.mod | out drivers/x.o
        ld -r -m elf_x86_64 -z noexecstack --build-id=sha1 -T scripts/module.lds -o x.ko x.o x.mod.o => Link | in x.o x.mod.o scripts/module.lds | out x.ko | [InputsNameInputs]
        ld -m elf_x86_64 -z noexecstack --emit-relocs --discard-none -z max-page-size=0x200000 --build-id=sha1 --orphan-handling=error --script=./arch/x86/kernel/vmlinux.lds -o vmlinux --whole-archive vmlinux.o .vmlinux.export.o init/version-timestamp.o --no-whole-archive --start-group --end-group .tmp_vmlinux2.kallsyms.o -Map=vmlinux.map => Link | in vmlinux.o .vmlinux.export.o init/version-timestamp.o .tmp_vmlinux2.kallsyms.o ./arch/x86/kernel/vmlinux.lds | out vmlinux vmlinux.map | [InputsNameInputs]
        ld.lld -m elf_x86_64 -mllvm -import-instr-limit=5 -z noexecstack -r -o vmlinux.o --whole-archive vmlinux.a --no-whole-archive --start-group --end-group => Link | in vmlinux.a | out vmlinux.o | Many
        ar cDPrST built-in.a init/main.o => Archive | init/main.o | in built-in.a | out built-in.a | [InputsNameInputs, Updates]
        llvm-ar cDPrsT lib/lib.a lib/x.o => Archive | lib/x.o | in lib/lib.a | out lib/lib.a | [InputsNameInputs, Updates]
        ar mPiT init/main.o vmlinux.a arch/head.o => Archive | in vmlinux.a | out vmlinux.a | [Timestamps, Updates]
        objcopy -R .note -R .comment -S -O binary vmlinux arch/boot/vmlinux.bin => Transform | vmlinux | out arch/boot/vmlinux.bin
        objcopy -j .modinfo -O binary vmlinux modules.builtin.modinfo => Transform | vmlinux | out modules.builtin.modinfo
        nm --quiet x.o => List | x.o | stdout
        nm -n vmlinux => List | vmlinux | stdout
        strip -g x.ko => Transform | x.ko | out x.ko | [InPlace]
        rustc --edition=2021 -Zbinary_dep_depinfo=y -Astable_features -Dnon_ascii_idents -Cpanic=abort -Cembed-bitcode=n -Clto=n -Cforce-unwind-tables=n -Ccodegen-units=1 -Csymbol-mangling-version=v0 -Crelocation-model=static -Zfunction-sections=n -Wclippy::all --target=./scripts/target.json -Ctarget-feature=-sse -Ccode-model=kernel -Copt-level=2 -Cdebug-assertions=n @./include/generated/rustc_cfg --cfg MODULE --emit=dep-info=rust/.kernel.o.d,obj=rust/kernel.o,metadata=rust/libkernel.rmeta --crate-type rlib -L./rust --crate-name kernel rust/kernel/lib.rs --sysroot=/dev/null => Compile Rust | rust/kernel/lib.rs | in ./scripts/target.json ./include/generated/rustc_cfg | in/ ./rust | out rust/.kernel.o.d rust/kernel.o rust/libkernel.rmeta | rule rust/.kernel.o.d | cwd | [OtherTools, InputsNameInputs, AnyVariable]
        ",
    );
}

#[test]
fn questions_of_kconfig_and_makefiles() {
    check_all(
        "
        gcc --version => Probe | stdout
        gcc -print-file-name=plugin => Probe | stdout
        gcc -Werror -fstack-protector-strong -c -x c /dev/null -o /tmp/x.o => Compile C | /dev/null | out /tmp/x.o
        gcc -Werror -S -x c - -o - => CompileToAssembly C | stdin | stdout
        gcc -E -P -x c - => Preprocess C | stdin | stdout
        gcc -Werror -E -x c /dev/null -o /dev/null => Preprocess C | /dev/null
        gcc -c -x assembler-with-cpp -o /tmp/y.o - => Assemble AssemblerWithCpp | out /tmp/y.o | stdin | [InputsNameInputs]
        gcc -Wa,--fatal-warnings -Wa,-mrelax-relocations=no -c -x assembler-with-cpp -o tmp.o /dev/null => Assemble AssemblerWithCpp | /dev/null | out tmp.o | [InputsNameInputs]
        gcc -m32 -Werror -c -x c++ /dev/null -o tmp.o => Compile Cxx | /dev/null | out tmp.o
        ld -v => Probe | stdout
        ld --version => Probe | stdout
        ld -v -z pack-relative-relocs => Probe | stdout
        as --version => Probe | stdout
        ",
    );
}

#[test]
fn cmake_and_autoconf() {
    check_all(
        "
        /usr/bin/cc -DNDEBUG -I/src/include -isystem /opt/include -O3 -DNDEBUG -std=gnu++17 -fPIC -MD -MT CMakeFiles/x.dir/a.cpp.o -MF CMakeFiles/x.dir/a.cpp.o.d -o CMakeFiles/x.dir/a.cpp.o -c /src/a.cpp => Compile Cxx | /src/a.cpp | out CMakeFiles/x.dir/a.cpp.o CMakeFiles/x.dir/a.cpp.o.d | rule CMakeFiles/x.dir/a.cpp.o.d
        /usr/bin/c++ -fPIC -O3 -shared -Wl,-soname,libx.so.1 -o libx.so.1.2.3 CMakeFiles/x.dir/a.cpp.o -Wl,-rpath,/src/lib: liby.so -lpthread -ldl => Link | in CMakeFiles/x.dir/a.cpp.o liby.so | out libx.so.1.2.3
        /usr/bin/c++ -O3 -Wl,--dependency-file,CMakeFiles/x.dir/link.d @CMakeFiles/x.dir/objects1.rsp -o prog => Link | in a.o d/b c.o CMakeFiles/x.dir/objects1.rsp | out prog CMakeFiles/x.dir/link.d
        /usr/bin/cc -Winvalid-pch -x c-header -include /b/cmake_pch.h -MD -MT p -MF p.d -o cmake_pch.h.gch -c cmake_pch.h.c => PrecompileHeader CHeader | cmake_pch.h.c | out cmake_pch.h.gch p.d | rule p.d | cwd | [PrecompiledHeader]
        clang++ -Winvalid-pch -Xclang -emit-pch -Xclang -include -Xclang /b/cmake_pch.hxx -x c++-header -o cmake_pch.hxx.pch -c cmake_pch.hxx.cxx => PrecompileHeader CxxHeader | cmake_pch.hxx.cxx | out cmake_pch.hxx.pch | cwd | [PrecompiledHeader]
        clang++ -Winvalid-pch -Xclang -include-pch -Xclang /b/cmake_pch.hxx.pch -Xclang -include -Xclang /b/cmake_pch.hxx -o a.o -c a.cpp => Compile Cxx | a.cpp | in /b/cmake_pch.hxx.pch | out a.o | [PrecompiledHeader]
        gcc -o conftest -g -O2 conftest.c => Link C | conftest.c | out conftest | cwd
        gcc -c -g -O2 conftest.c => Compile C | conftest.c | out conftest.o | cwd
        gcc -E conftest.c => Preprocess C | conftest.c | stdout
        gcc -o conftest -g -O2 conftest.c -lm => Link C | conftest.c | out conftest | cwd
        gcc -DHAVE_CONFIG_H -I. -I.. -MT a.lo -MD -MP -MF .deps/a.Tpo -c a.c -fPIC -DPIC -o .libs/a.o => Compile C | a.c | out .libs/a.o .deps/a.Tpo | rule .deps/a.Tpo
        ar cr .libs/liba.a .libs/a.o => Archive | .libs/a.o | in .libs/liba.a | out .libs/liba.a | [Timestamps, Updates]
        gcc -shared -fPIC -DPIC .libs/a.o -Wl,-soname -Wl,liba.so.0 -o .libs/liba.so.0.0.0 => Link | in .libs/a.o | out .libs/liba.so.0.0.0
        ",
    );
}
