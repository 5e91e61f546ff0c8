//! Command lines of ld, as, ar, ranlib, objcopy, strip and nm.

mod support;

use support::{check_all, check_all_by, link_line, preprocessing};

#[test]
fn ld() {
    check_all(
        "
        ld a.o b.a -o prog => Link | in a.o b.a | out prog
        ld a.o => Link | in a.o | out a.out
        ld.lld-15 a.o -o p => Link | in a.o | out p | Many
        ld.mold a.o -o p => Link | in a.o | out p | Many
        aarch64-linux-gnu-ld.bfd -r a.o b.o -o c.o => Link | in a.o b.o | out c.o
        ld -m elf_x86_64 -z noexecstack -r -o vmlinux.o --whole-archive vmlinux.a --no-whole-archive --start-group lib/lib.a --end-group => Link | in vmlinux.a lib/lib.a | out vmlinux.o
        ld -r -T scripts/module.lds --build-id=sha1 -o x.ko x.o x.mod.o => Link | in x.o x.mod.o scripts/module.lds | out x.ko | [InputsNameInputs]
        ld --script=x.lds a.o => Link | in a.o x.lds | out a.out | [InputsNameInputs]
        ld -Tx.lds a.o -Ttext=0x100 -Tdata 0x200 => Link | in a.o x.lds | out a.out | [InputsNameInputs]
        ld --default-script d.lds a.o => Link | in a.o d.lds | out a.out | [InputsNameInputs]
        ld -dT d.lds a.o => Link | in a.o d.lds | out a.out | [InputsNameInputs]
        ld --mri-script=x a.o => not ours: `--mri-script=x`: an MRI script
        ld -c x a.o => not ours: `-c`: an MRI script
        ld --version-script v.map --dynamic-list=l --retain-symbols-file r -R s.o --just-symbols=t.o a.o => Link | in a.o v.map l r s.o t.o | out a.out
        ld --symbol-ordering-file=o --export-dynamic-symbol-list=e --section-ordering-file s a.o => Link | in a.o o e s | out a.out
        ld -plugin /usr/lib/liblto.so -plugin-opt=/usr/lib/lto-wrapper -plugin-opt=-pass-through=-lc a.o => Link | in a.o /usr/lib/liblto.so /usr/lib/lto-wrapper | out a.out | [Plugin, LinkTimeOptimization]
        ld -plugin-opt=cache-dir=x a.o => not ours: `-plugin-opt=cache-dir=x`: it may name a file
        ld -Map x.map --dependency-file=x.d --out-implib x.lib a.o -o p => Link | in a.o | out p x.map x.d x.lib
        ld --Map=x.map a.o => Link | in a.o | out a.out x.map
        ld -Map=- a.o => Link | in a.o | out a.out | [Talkative]
        ld -M a.o => Link | in a.o | out a.out | [Talkative]
        ld --cref a.o => Link | in a.o | out a.out | [Talkative]
        ld --reproduce=r.tar --why-extract=w --print-symbol-order=s a.o => Link | in a.o | out a.out r.tar w s
        ld --save-temps a.o => not ours: `--save-temps`: temporary files are kept
        ld --time-trace a.o => not ours: `--time-trace`: a trace is written
        ld --thinlto-cache-dir=x a.o => not ours: `--thinlto-cache-dir=x`: a cache is read and written
        ld --threads=4 a.o => Link | in a.o | out a.out | Count(4)
        ld -omagic a.o => Link | in a.o | out magic
        ld --omagic a.o => Link | in a.o | out a.out
        ld --output=x a.o => Link | in a.o | out x
        ld -e start -u sym -z now -h libx.so.1 a.o -o libx.so.1 => Link | in a.o | out libx.so.1
        ld -shared -soname libx.so.1 -rpath /x a.o => Link | in a.o | out a.out
        ld -( a.a b.a -) => Link | in a.a b.a | out a.out
        ld --no-such a.o => not ours: option `--no-such` is not known
        ld --version-scr x a.o => not ours: option `--version-scr` is not known
        ld --error-handling-script=x a.o => not ours: `--error-handling-script=x`: a program is run on errors
        ld -v => Probe | stdout
        ld -v a.o => Link | in a.o | out a.out | [Talkative]
        ld --version => Probe | stdout
        ld --verbose => Probe | stdout
        ld => not ours: no input
        ld -o => not ours: option `-o` has no argument
        ld --pop-state a.o => not ours: a state is taken that was not put
        ld - => not ours: `-`: an input without a name
        ",
    );
}

#[test]
fn libraries_of_ld() {
    check_all_by(
        link_line,
        "
        ld a.o -Ld -L e --library-path=f -lx -l y --library=z => a.o -lx -ly -lz L d e f
        ld a.o -Bstatic -lx -Bdynamic -ly -dn -lz -dy -lw => a.o -lx(a) -ly -lz(a) -lw
        ld -static a.o -lx => a.o -lx(a) static
        ld --push-state -Bstatic -lx --pop-state -ly => -lx(a) -ly
        ld -l:libx.so.1 --sysroot=/s -nostdlib => -l:libx.so.1 nolibs root /s
        ld a.o -rpath /a:/b -rpath-link c => a.o needed /a /b c
        ld -shared a.o => a.o shared
        ld -r a.o => a.o relocatable
        ",
    );
}

#[test]
fn assembler() {
    check_all(
        "
        as a.s => Assemble Assembler | a.s | out a.out | [InputsNameInputs]
        as -o a.o a.s b.s => Assemble Assembler | a.s b.s | out a.o | [InputsNameInputs]
        as --64 -o a.o --MD a.d a.s => Assemble Assembler | a.s | out a.o a.d | rule a.d | [InputsNameInputs]
        as -o a.o => Assemble Assembler | out a.o | stdin | [InputsNameInputs]
        as -o a.o - => Assemble Assembler | out a.o | stdin | [InputsNameInputs]
        as -a=a.lst -o a.o a.s => Assemble Assembler | a.s | out a.o a.lst | [InputsNameInputs]
        as -adhlns a.s => Assemble Assembler | a.s | out a.out | stdout | [Talkative, InputsNameInputs]
        as -alz a.s => not ours: option `-alz` is not known
        as -g -o a.o a.s => Assemble Assembler | a.s | out a.o | cwd | [InputsNameInputs]
        as --gdwarf-5 a.s => Assemble Assembler | a.s | out a.out | cwd | [InputsNameInputs]
        as -o /dev/null a.s => Assemble Assembler | a.s | [InputsNameInputs]
        as --no-such a.s => not ours: option `--no-such` is not known
        as --version => Probe | stdout
        as -march=armv8-a -EL -o a.o a.s => Assemble Assembler | a.s | out a.o | [InputsNameInputs]
        as -M a.s => not ours: `-M`: another syntax
        ",
    );
    check_all_by(preprocessing, "as -I a -Ib x.s -o x.o => as:a as:b");
}

#[test]
fn archiver() {
    check_all(
        "
        ar rcs lib.a a.o b.o => Archive | a.o b.o | in lib.a | out lib.a | [Timestamps, Updates]
        ar rcsD lib.a a.o => Archive | a.o | in lib.a | out lib.a | [Updates]
        llvm-ar -rcD lib.a a.o => Archive | a.o | in lib.a | out lib.a | [Updates]
        ar -r -c -D lib.a a.o => Archive | a.o | in lib.a | out lib.a | [Updates]
        ar cDPrST vmlinux.a built-in.a lib.a => Archive | built-in.a lib.a | in vmlinux.a | out vmlinux.a | [InputsNameInputs, Updates]
        ar cDPrST built-in.a => Archive | in built-in.a | out built-in.a | [InputsNameInputs, Updates]
        ar mPiT first.o vmlinux.a x.o => Archive | in vmlinux.a | out vmlinux.a | [Timestamps, Updates]
        ar q lib.a a.o => Archive | a.o | in lib.a | out lib.a | [Timestamps, Updates]
        ar ruD lib.a a.o => Archive | a.o | in lib.a | out lib.a | [Timestamps, Updates]
        ar rU lib.a a.o => Archive | a.o | in lib.a | out lib.a | [Timestamps, Updates]
        ar rD --thin lib.a a.o => Archive | a.o | in lib.a | out lib.a | [InputsNameInputs, Updates]
        ar rDa m.o lib.a b.o => Archive | b.o | in lib.a | out lib.a | [Updates]
        ar dD lib.a a.o => Archive | in lib.a | out lib.a | [Updates]
        ar sD lib.a => Index | in lib.a | out lib.a | [Updates]
        ar s lib.a => Index | in lib.a | out lib.a | [Timestamps, Updates]
        ar t lib.a => Probe | in lib.a | stdout
        ar p lib.a a.o => Probe | in lib.a | stdout | [InputsNameInputs]
        ar x lib.a => not ours: `x`: only the archive knows what comes out of it
        ar x lib.a a.o b.o => Transform | in lib.a | out a.o b.o | [InputsNameInputs]
        ar xN 2 lib.a a.o => Transform | in lib.a | out a.o | [InputsNameInputs]
        ar rD --plugin p.so lib.a a.o => Archive | a.o | in p.so lib.a | out lib.a | [Plugin, Updates]
        ar -M => not ours: `-M`: a script on standard input says what to do
        ar rl lib.a => not ours: `rl`: versions disagree about it
        ar rx lib.a => not ours: two operations
        ar rZ lib.a => not ours: option `rZ` is not known
        ar --no-such r lib.a => not ours: option `--no-such` is not known
        ar V => Probe | stdout
        ar --version => Probe | stdout
        ar r => not ours: no input
        ar => not ours: no input
        ar rvD lib.a a.o => Archive | a.o | in lib.a | out lib.a | stdout | [Updates]
        ",
    );
}

#[test]
fn ranlib() {
    check_all(
        "
        ranlib lib.a => Index | in lib.a | out lib.a | [Timestamps, InPlace, Updates]
        ranlib -D lib.a => Index | in lib.a | out lib.a | [InPlace, Updates]
        gcc-ranlib -D a.a b.a => Index | in a.a b.a | out a.a b.a | [InPlace, Updates]
        ranlib -t lib.a => Index | in lib.a | out lib.a | [Timestamps, InPlace, Updates]
        ranlib --version => Probe | stdout
        ranlib -Z a.a => not ours: option `-Z` is not known
        ranlib => not ours: no input
        ",
    );
}

#[test]
fn objcopy_and_strip() {
    check_all(
        "
        objcopy -O binary vmlinux Image => Transform | vmlinux | out Image
        objcopy -S a.o => Transform | a.o | out a.o | [InPlace]
        objcopy a.o a.o => Transform | a.o | out a.o | [InPlace]
        objcopy --only-keep-debug p p.debug => Transform | p | out p.debug
        objcopy --add-gnu-debuglink=p.debug p => Transform | p | in p.debug | out p | [InPlace]
        objcopy --add-section .x=f --update-section .y=g a.o b.o => Transform | a.o | in f g | out b.o
        objcopy --dump-section .x=f a.o /dev/null => Transform | a.o | out f
        objcopy --dump-section .x a.o => not ours: `--dump-section`: no `=` after the section
        objcopy --redefine-syms=f --keep-global-symbols g a.o b.o => Transform | a.o | in f g | out b.o
        objcopy -I binary -O elf64-x86-64 -B i386 x.bin x.o => Transform | x.bin | out x.o
        llvm-objcopy --split-dwo=a.dwo a.o => Transform | a.o | out a.dwo a.o | [InPlace]
        objcopy -p a.o b.o => Transform | a.o | out b.o | [Timestamps]
        objcopy a b c => not ours: more than two files
        objcopy -j .text -R.comment --set-section-flags .x=alloc a.o b.o => Transform | a.o | out b.o
        objcopy --no-such a => not ours: option `--no-such` is not known
        objcopy --version => Probe | stdout
        objcopy => not ours: no input
        strip a b => Transform | a b | out a b | [InPlace]
        strip -g -o b a => Transform | a | out b
        strip -o a a => Transform | a | out a | [InPlace]
        strip --strip-unneeded -K sym -R .x lib.so => Transform | lib.so | out lib.so | [InPlace]
        strip -o c a b => not ours: one product of several files
        strip -p a => Transform | a | out a | [Timestamps, InPlace]
        llvm-strip-15 -S a => Transform | a | out a | [InPlace]
        strip --no-such a => not ours: option `--no-such` is not known
        strip => not ours: no input
        ",
    );
}

#[test]
fn nm() {
    check_all(
        "
        nm a.o => List | a.o | stdout
        nm --quiet a.o => List | a.o | stdout
        nm -n vmlinux => List | vmlinux | stdout
        nm a.o lib.a /usr/lib/libx.so => List | a.o lib.a /usr/lib/libx.so | stdout
        nm => List | a.out | stdout
        nm -n => List | a.out | stdout
        nm -anPX 32_64 a.o => List | a.o | stdout
        nm -X32_64 -tx -f posix -fsysv -t d a.o => List | a.o | stdout
        nm -gntx a.o => List | a.o | stdout
        nm -gnt x a.o => List | a.o | stdout
        nm a.o -gDCuUpvrSjeBAoWm => List | a.o | stdout
        nm --demangle --demangle=rust --radix=d --radix x --format posix a.o => List | a.o | stdout
        nm --target elf64-x86-64 --ifunc-chars=xy --unicode=hex --no-recurse-limit a.o => List | a.o | stdout
        nm --defined-only --extern-only --dynamic --with-symbol-versions --print-armap a.o => List | a.o | stdout
        nm @CMakeFiles/x.dir/objects1.rsp => List | a.o d/b c.o | in CMakeFiles/x.dir/objects1.rsp | stdout
        nm @no-such => not ours: response file no-such is not there, or too much
        aarch64-linux-gnu-nm a.o => List | a.o | stdout
        llvm-nm-14 --no-llvm-bc --numeric-sort a.o => List | a.o | stdout
        llvm-nm -numeric-sort a.o => not ours: option `-numeric-sort` is not known
        nm --numeric a.o => not ours: option `--numeric` is not known
        nm --format => not ours: option `--format` has no argument
        nm -nt => not ours: option `-t` has no argument
        nm -l a.o => not ours: `-l`: names of sources are looked for, also in other files
        nm -nl a.o => not ours: `-nl`: names of sources are looked for, also in other files
        nm --line-numbers a.o => not ours: `--line-numbers`: names of sources are looked for, also in other files
        nm --plugin=x.so a.o => not ours: `--plugin=x.so`: a plugin is loaded
        nm --plugin x.so a.o => not ours: `--plugin`: a plugin is loaded
        nm -s lib.a => not ours: `-s`: GNU's takes no word after it, LLVM's takes two
        nm -x a.o => not ours: option `-x` is not known
        nm -né a.o => not ours: option `-né` is not known
        nm - => not ours: `-`: an operand without a name
        nm -- a.o => not ours: `--`: an operand without a name
        nm /dev/stdin => not ours: `/dev/stdin`: no file that stays what it is
        nm -B /dev/null => not ours: `/dev/null`: no file that stays what it is
        nm /proc/self/exe => not ours: `/proc/self/exe`: no file that stays what it is
        nm --version => Probe | stdout
        nm -nV a.o => Probe | stdout
        llvm-nm -h => Probe | stdout
        gcc-nm a.o => not ours: `gcc-nm` is no tool that we know
        ",
    );
}
