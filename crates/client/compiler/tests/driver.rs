//! Command lines of gcc and clang: what is read, what is written.

mod support;

use support::{check, check_all, check_all_by, facts, link_line, parsed_with, preprocessing, rendered, step};

#[test]
fn how_far_the_driver_goes() {
    check_all(
        "
        gcc -c a.c => Compile C | a.c | out a.o
        /usr/bin/x86_64-linux-gnu-gcc-12 -O2 -Wall -c d/a.c -o out/a.o => Compile C | d/a.c | out out/a.o
        clang++-15 -c a.cc => Compile Cxx | a.cc | out a.o
        gcc -S a.c => CompileToAssembly C | a.c | out a.s
        gcc -E a.c => Preprocess C | a.c | stdout
        gcc -E a.c -o a.i => Preprocess C | a.c | out a.i
        gcc -fsyntax-only a.c => SyntaxOnly C | a.c
        gcc -c -E a.c => Preprocess C | a.c | stdout
        gcc -S -c a.c => CompileToAssembly C | a.c | out a.s
        gcc -M a.c => Dependencies C | a.c | stdout
        gcc a.c => Link C | a.c | out a.out
        gcc a.c b.o -lm -o prog => Link C | a.c | in b.o | out prog
        gcc a.o b.a -o prog => Link | in a.o b.a | out prog
        gcc -c a.c b.c => Compile C | a.c b.c | out a.o b.o
        gcc -c a.c b.cc s.S => Compile | a.c b.cc s.S | out a.o b.o s.o | [InputsNameInputs]
        gcc -c a.c b.c -o x.o => not ours: one product of several sources
        gcc -c s.s => Assemble Assembler | s.s | out s.o | [InputsNameInputs]
        gcc -c s.S => Assemble AssemblerWithCpp | s.S | out s.o | [InputsNameInputs]
        gcc -c a.m => Compile ObjC | a.m | out a.o
        gcc -c a.mm => Compile ObjCxx | a.mm | out a.o
        g++ -c a.c => Compile Cxx | a.c | out a.o
        clang++ -c a.c => Compile Cxx | a.c | out a.o
        gcc -c a.C => Compile Cxx | a.C | out a.o
        gcc -c a.f90 => not ours: the language of `a.f90` is not known
        gcc h.h => PrecompileHeader CHeader | h.h | out h.h.gch | cwd | [PrecompiledHeader]
        gcc -c a.o => not ours: no input
        gcc --version => Probe | stdout
        gcc -dumpmachine => Probe | stdout
        clang -print-stats -c a.c => not ours: `-print-stats`: an option of the compiler proper
        gcc -print-file-name=libc.so => Probe | stdout
        gcc -v => Probe | stdout | [Talkative]
        gcc -v -c a.c => Compile C | a.c | out a.o | [Talkative]
        gcc -### -c a.c => Probe | stdout
        gcc => not ours: no input
        clang -c -- a.c => Compile C | a.c | out a.o
        clang -c -- -a.c => Compile C | -a.c | out -a.o
        gcc -c -- a.c => not ours: option `--` is not known
        gcc -E s.s => not ours: nothing is made of such a source
        gcc -S s.S => not ours: nothing is made of such a source
        gcc -M a.i => not ours: nothing is made of such a source
        gcc -fsyntax-only s.S => not ours: nothing is made of such a source
        gcc -S h.h => not ours: a header is no assembly
        gcc a.o -Wl,@x => not ours: `@x`: a response file that is passed on
        gcc -c a.c -o x.o -o y.o => Compile C | a.c | out y.o
        gcc -c => not ours: no input
        ",
    );
}

#[test]
fn rules_beside_the_product() {
    check_all(
        "
        gcc -c -MD a.c => Compile C | a.c | out a.o a.d | rule a.d
        gcc -c -MMD d/a.c -o out/a.o => Compile C | d/a.c | out out/a.o out/a.d | rule out/a.d
        gcc -c -MD -MF x.d -MT y -MQ z -MP a.c => Compile C | a.c | out a.o x.d | rule x.d
        gcc -c -Wp,-MD,d/.a.o.d -o d/a.o d/a.c => Compile C | d/a.c | out d/a.o d/.a.o.d | rule d/.a.o.d
        gcc -c -Wp,-MMD,d/.a.o.d -MMD -o d/a.o d/a.c => Compile C | d/a.c | out d/a.o d/.a.o.d | rule d/.a.o.d
        gcc -c -Wp,-MD,d/.a.o.d -Wp,-MT,d/a.o -o d/a.o d/a.c => Compile C | d/a.c | out d/a.o d/.a.o.d | rule d/.a.o.d
        gcc -c -Xpreprocessor -MD -Xpreprocessor a.d a.c => Compile C | a.c | out a.o a.d | rule a.d
        gcc -c -Wp,-MD a.c => not ours: option `-MD` has no argument
        gcc -c -Wp,-MD,x.d -MF y.d a.c => not ours: two files for one rule
        gcc -c -MF x.d a.c => not ours: a file for a rule, and no rule
        gcc -c -MD -MG a.c => not ours: `-MG`: headers that are missing are no error
        gcc -c -MD s.s => Assemble Assembler | s.s | out s.o | [InputsNameInputs]
        gcc -c -MD a.i => Compile PreprocessedC | a.i | out a.o
        gcc -MD a.c b.c => Link C | a.c b.c | out a.out a-a.d? a.d? a-b.d? b.d? | rule a-a.d | [UncertainNames]
        clang -MD a.c b.c => Link C | a.c b.c | out a.out a.d b.d | rule a.d
        gcc -MD a.c b.c -o d/prog => Link C | a.c b.c | out d/prog d/prog.d | rule d/prog.d
        gcc -Wp,-MMD,d/.prog.d -o d/prog d/prog.c => Link C | d/prog.c | out d/prog d/.prog.d | rule d/.prog.d
        gcc -M -MF x.d a.c => Dependencies C | a.c | out x.d | rule x.d
        gcc -MM a.c -o x.d => Dependencies C | a.c | out x.d | rule x.d
        gcc -M -MD a.c => not ours: a rule beside the product, and instead of it
        gcc -c -MD -o .o a.c => not ours: `.o`: it has no name to derive others from
        gcc -c -MD -o /dev/null a.c => not ours: `/dev/null`: it has no name to derive others from
        gcc -c -MD -MF x.d -o /dev/null a.c => Compile C | a.c | out x.d | rule x.d
        gcc -c -MD -MF /dev/null a.c => Compile C | a.c | out a.o
        gcc -c -MD -MF - a.c => Compile C | a.c | out a.o | [Talkative]
        gcc -fsyntax-only -MD a.c => not ours: `-MD`: the rule's default name is uncertain here
        ",
    );
}

#[test]
fn environment_that_writes_rules_is_not_ours() {
    for variable in [
        "DEPENDENCIES_OUTPUT",
        "SUNPRO_DEPENDENCIES",
        "CCC_OVERRIDE_OPTIONS",
        "CC_PRINT_OPTIONS",
    ] {
        let parsed = parsed_with("gcc -c a.c", &[(variable, "x.d a.o")], &[]);
        assert_eq!(
            rendered(&parsed),
            format!("not ours: environment variable {variable} is set")
        );
        let parsed = parsed_with("gcc -c a.c", &[(variable, "")], &[]);
        assert_eq!(rendered(&parsed), "Compile C | a.c | out a.o");
    }
}

#[test]
fn files_beside_the_product() {
    check_all(
        "
        gcc -c -save-temps a.c => Compile C | a.c | out a.o a.i? a.ii? a.mi? a.mii? a.s? a.bc? | [SaveTemps, UncertainNames]
        gcc -c -save-temps=obj a.c -o d/x.o => Compile C | a.c | out d/x.o a.i? a.ii? a.mi? a.mii? a.s? a.bc? a.o? d/x.i? d/x.ii? d/x.mi? d/x.mii? d/x.s? d/x.bc? d/a.i? d/a.ii? d/a.mi? d/a.mii? d/a.s? d/a.bc? d/a.o? | [SaveTemps, UncertainNames]
        gcc -save-temps a.c => not ours: `-save-temps`: the linker's temporary files have names of their own
        gcc -c -dumpdir x a.c => not ours: `-dumpdir`: names of files beside are chosen
        gcc -c -dumpbase x a.c => not ours: `-dumpbase`: names of files beside are chosen
        gcc -c -aux-info x a.c => Compile C | a.c | out a.o x
        clang -c -aux-info x a.c => not ours: option `-aux-info` is not known
        gcc -c -fdump-tree-all a.c => not ours: `-fdump-tree-all`: dumps are written, by names of the version's own
        gcc -c -fdump-rtl-expand=x a.c => not ours: `-fdump-rtl-expand=x`: dumps are written, by names of the version's own
        gcc -c -fstack-usage a.c -o d/x.o => Compile C | a.c | out d/x.o d/x.su?
        gcc -c -fstack-usage s.S => Assemble AssemblerWithCpp | s.S | out s.o | [InputsNameInputs]
        gcc -c -fcallgraph-info=su a.c => Compile C | a.c | out a.o a.ci?
        gcc -c -fopt-info-vec-missed=x.opt a.c => Compile C | a.c | out a.o x.opt
        gcc -c -fopt-info a.c => Compile C | a.c | out a.o | [Talkative]
        clang -c -ftime-trace a.c -o d/x.o => Compile C | a.c | out d/x.o d/x.json | [TimeTrace]
        clang -c -ftime-trace=t.json a.c -o d/x.o => Compile C | a.c | out d/x.o t.json? | [TimeTrace]
        clang -ftime-trace a.c => not ours: `-ftime-trace`: its name is uncertain in a link
        clang -c --serialize-diagnostics a.dia a.c => Compile C | a.c | out a.o a.dia
        gcc -c -fdiagnostics-format=sarif-file a.c => not ours: `-fdiagnostics-format=sarif-file`: diagnostics are written to files
        gcc -c -fdiagnostics-format=json a.c => Compile C | a.c | out a.o
        gcc -c -frecord-gcc-switches a.c => Compile C | a.c | out a.o
        clang -c -MJ a.json a.c => Compile C | a.c | out a.o a.json | cwd
        gcc -c -g -gsplit-dwarf a.c -o d/x.o => Compile C | a.c | out d/x.o d/x.dwo | cwd
        clang -c -g -gsplit-dwarf=single a.c => Compile C | a.c | out a.o | cwd
        gcc -c -gsplit-dwarf -gno-split-dwarf a.c => Compile C | a.c | out a.o | cwd
        gcc -gsplit-dwarf a.c b.c -o d/prog => Link C | a.c b.c | out d/prog a.dwo? d/prog-a.dwo? d/prog.dwo? d/a.dwo? b.dwo? d/prog-b.dwo? d/b.dwo? | cwd | [UncertainNames]
        gcc -gsplit-dwarf a.o -o d/prog => Link | in a.o | out d/prog
        gcc -c --coverage a.c -o d/x.o => Compile C | a.c | out d/x.o d/x.gcno | cwd
        gcc -c -fprofile-arcs -ftest-coverage a.c => Compile C | a.c | out a.o a.gcno | cwd
        gcc -c -fprofile-arcs a.c => Compile C | a.c | out a.o | cwd
        gcc -c --coverage -fprofile-note=n.gcno a.c => Compile C | a.c | out a.o n.gcno | cwd
        gcc --coverage a.c -o d/prog => Link C | a.c | out d/prog a.gcno? d/prog-a.gcno? d/prog.gcno? d/a.gcno? | cwd | [UncertainNames]
        gcc --coverage a.o -o d/prog => Link | in a.o | out d/prog
        gcc -flto --coverage a.c -o prog => not ours: `-flto`: files beside objects that the linker makes
        gcc -c -fsave-optimization-record a.c => Compile C | a.c | out a.o a.c.opt-record.json.gz? a.opt-record.json.gz?
        clang -c -fsave-optimization-record a.c => Compile C | a.c | out a.o a.opt.yaml? | cwd
        gcc -c -Wa,-a=a.lst a.c => Compile C | a.c | out a.lst a.o
        gcc -c -Wa,-adhln a.c => Compile C | a.c | out a.o | [Talkative]
        gcc -S -Wa,-a=a.lst a.c => CompileToAssembly C | a.c | out a.s
        gcc -c -Wa,-o,x a.c => not ours: the assembler is told another source or product
        ",
    );
}

#[test]
fn other_files_that_are_read() {
    check_all(
        "
        gcc -c -fprofile-use a.c => Compile C | a.c | out a.o | [Profile]
        gcc -c -fprofile-use=d a.c => Compile C | a.c | in d | out a.o | [Profile]
        clang -c -fprofile-use=x.profdata a.c => Compile C | a.c | in x.profdata | out a.o | [Profile]
        clang -c -fprofile-instr-use=x.profdata a.c => Compile C | a.c | in x.profdata | out a.o | [Profile]
        clang -c -fprofile-sample-use=x.afdo a.c => Compile C | a.c | in x.afdo | out a.o | [Profile]
        gcc -c -fauto-profile=x.afdo a.c => Compile C | a.c | in x.afdo | out a.o | [Profile]
        gcc -c -fbranch-probabilities a.c => Compile C | a.c | out a.o | [Profile]
        clang -c -fprofile-list=l a.c => Compile C | a.c | in l | out a.o
        clang -c -fsanitize=address -fsanitize-ignorelist=l a.c => Compile C | a.c | in l | out a.o
        clang -c -fsanitize-coverage-allowlist=l a.c => Compile C | a.c | in l | out a.o
        clang -c -fthinlto-index=x.thinlto.bc -x ir a.o -o b.o => Compile LlvmIr | a.o | in x.thinlto.bc x.thinlto.bc.imports | out b.o
        gcc -c -fplugin=./p.so -fplugin-arg-p-x=y a.c => Compile C | a.c | in ./p.so | out a.o | [Plugin]
        clang -c -Xclang -load -Xclang ./p.so -Xclang -add-plugin -Xclang p a.c => Compile C | a.c | in ./p.so | out a.o | [Plugin]
        clang -c -fpass-plugin=d/p.so a.c => Compile C | a.c | in d/p.so | out a.o | [Plugin]
        clang -c -include-pch x.pch a.c => Compile C | a.c | in x.pch | out a.o | [PrecompiledHeader]
        clang++ -c -Xclang -emit-pch -x c++-header x.hxx -o x.pch => PrecompileHeader CxxHeader | x.hxx | out x.pch | cwd | [PrecompiledHeader]
        clang++ -c -Xclang -emit-pch -x c++-header x.hxx => not ours: `-emit-pch`: the product has no name
        clang -c -Xclang -include-pch -Xclang x.pch a.c => Compile C | a.c | in x.pch | out a.o | [PrecompiledHeader]
        gcc -c -fmodules-ts a.cc => not ours: `-fmodules-ts`: modules are read and written that no argument names
        clang -c -fmodule-file=x.pcm a.cc => Compile Cxx | a.cc | in x.pcm | out a.o | [Modules]
        clang -c -fmodule-file=m=x.pcm a.cc => Compile Cxx | a.cc | in x.pcm | out a.o | [Modules]
        clang -c -fmodules a.m => not ours: `-fmodules`: modules are read and written that no argument names
        clang -c a.cppm => not ours: the language of `a.cppm` is not known
        clang --precompile a.cc => not ours: `--precompile`: a module is written
        gcc -c -specs=x.specs a.c => Compile C | a.c | in x.specs | out a.o | [OtherTools]
        clang -c --config x.cfg a.c => Compile C | a.c | in x.cfg | out a.o | [OtherTools]
        clang -c --config=x.cfg a.c => Compile C | a.c | in x.cfg | out a.o | [OtherTools]
        gcc -c -B tools/ a.c => Compile C | a.c | out a.o | [OtherTools]
        gcc -c -Btools a.c => Compile C | a.c | out a.o | [OtherTools]
        clang -c --gcc-toolchain=/opt/gcc a.c => Compile C | a.c | out a.o | [OtherTools]
        clang -c -ivfsoverlay x.yaml a.c => Compile C | a.c | in x.yaml | out a.o | [Overlay]
        clang -c -I x.hmap a.c => Compile C | a.c | in x.hmap | out a.o | [Overlay]
        gcc -c -Wmissing-include-dirs a.c => Compile C | a.c | out a.o | [MissingDirectories]
        gcc -c -march=native a.c => Compile C | a.c | out a.o | [NativeArchitecture]
        gcc -c -mtune=native -march=x86-64 a.c => Compile C | a.c | out a.o | [NativeArchitecture]
        gcc -c -mcpu=native+nofp a.c => Compile C | a.c | out a.o | [NativeArchitecture]
        gcc -c -traditional-cpp a.c => Compile C | a.c | out a.o | [OtherPreprocessing]
        gcc -c -remap a.c => not ours: `-remap`: header.gcc files are read
        gcc -c -wrapper gdb,--args a.c => not ours: `-wrapper`: another program runs the tools
        gcc -c -fcompare-debug a.c => not ours: `-fcompare-debug`: the compiler runs twice and compares
        gcc -c -foffload=nvptx-none a.c => not ours: `-foffload=nvptx-none`: compilers for other targets run
        gcc -c -foffload=disable a.c => Compile C | a.c | out a.o
        clang -c -mllvm -inline-threshold=5 a.c => Compile C | a.c | out a.o
        clang -c -mllvm -info-output-file=x a.c => not ours: `-info-output-file=x`: it may name a file
        clang -cc1 -emit-obj a.c => not ours: `-cc1`: the compiler proper has another grammar
        clang -cc1as a.s => not ours: `-cc1as`: the assembler proper has another grammar
        clang -c -working-directory d a.c => not ours: `-working-directory`: another working directory
        clang -c -arch x86_64 a.c => not ours: `-arch`: several architectures in one file
        clang -c -fxray-modes= x a.c => not ours: option `-fxray-modes=` is not known
        clang -c -fsanitize-ignorelist= a.c => not ours: option `-fsanitize-ignorelist=` is not known
        gcc -c -undefined dynamic_lookup a.c => not ours: option `-undefined` is not known
        gcc -c -exported_symbols_list x a.c => not ours: option `-exported_symbols_list` is not known
        clang -c -objcmt-migrate-all a.c => not ours: `-objcmt-migrate-all`: an option that is not `-o`
        gcc a.o -Ttext 0x100 => not ours: `-Ttext`: an address, which compilers take in different ways
        gcc a.o -e start -u sym -z now => Link | in a.o | out a.out
        clang -c -A x a.c => not ours: option `-A` is not known
        gcc -c -DX= a.c => Compile C | a.c | out a.o
        gcc -c -D X= -I= a.c => Compile C | a.c | out a.o
        gcc -c -Xfoo a.c => not ours: option `-Xfoo` is not known
        gcc -c --no-such-option a.c => not ours: option `--no-such-option` is not known
        gcc -c a.c -o '' => not ours: a product without a name
        gcc -c a.c -o => not ours: option `-o` has no argument
        gcc -c -I => not ours: option `-I` has no argument
        ",
    );
}

#[test]
fn standard_input_and_output() {
    check_all(
        "
        gcc -c -x c - => Compile C | out -.o | stdin
        gcc -c -xc - -o x.o => Compile C | out x.o | stdin
        gcc -c -x c /dev/stdin -o x.o => Compile C | out x.o | stdin
        gcc -c -x assembler - -o x.o => Assemble Assembler | out x.o | stdin | [InputsNameInputs]
        gcc -c -x assembler-with-cpp - -o x.o => Assemble AssemblerWithCpp | out x.o | stdin | [InputsNameInputs]
        gcc -E -x c - => Preprocess C | stdin | stdout
        gcc -E - => Preprocess C | stdin | stdout
        g++ -E - => not ours: the language of `-` is not known
        gcc -S -x c - -o - => CompileToAssembly C | stdin | stdout
        gcc -c -x c - -o - => not ours: `-o`: an object on standard output
        clang -c -x c - -o - => Compile C | stdin | stdout
        gcc -x c - -o prog => Link C | out prog | stdin
        gcc -c -x c - - => not ours: standard input twice
        gcc -c -x c /dev/null -o x.o => Compile C | /dev/null | out x.o
        gcc -c -x c /dev/null -o /dev/null => Compile C | /dev/null
        gcc -E -x c /dev/null -o /dev/null => Preprocess C | /dev/null
        gcc -S -x c /dev/null -o /dev/null => CompileToAssembly C | /dev/null
        gcc -x c -c a.txt -x none b.c => Compile C | a.txt b.c | out a.o b.o
        gcc -x c++ -c a.c => Compile Cxx | a.c | out a.o
        gcc -x go -c a.c => not ours: the language of `go` is not known
        gcc -x f95 -c a.c => not ours: the language of `f95` is not known
        gcc -c -pipe a.c => Compile C | a.c | out a.o
        ",
    );
}

#[test]
fn response_files() {
    let files = [
        ("a.rsp", "-c 'a b.c' @o.rsp"),
        ("o.rsp", "-o \"d/x y.o\" -MD"),
        ("l.rsp", "a.o -o prog"),
    ];
    let shown = |line| rendered(&parsed_with(line, &[], &files));
    assert_eq!(
        shown("gcc @a.rsp"),
        "Compile C | a b.c | in a.rsp o.rsp | out d/x y.o d/x y.d | rule d/x y.d"
    );
    // reclient loses the product of such a link.
    assert_eq!(shown("gcc @l.rsp -lm"), "Link | in a.o l.rsp | out prog");
    assert_eq!(shown("ld @l.rsp"), "Link | in a.o l.rsp | out prog");
    assert_eq!(
        shown("gcc @none.rsp"),
        "not ours: response file none.rsp is not there, or too much"
    );
}

#[test]
fn links() {
    check_all(
        "
        gcc a.o -T x.lds => Link | in a.o x.lds | out a.out | [InputsNameInputs]
        gcc a.o -Wl,-T,x.lds,--version-script=v.map,--dynamic-list,l -o p => Link | in a.o x.lds v.map l | out p | [InputsNameInputs]
        gcc a.o -Wl,--retain-symbols-file=r -Wl,--symbol-ordering-file=o -Wl,-R,s.o => Link | in a.o r o s.o | out a.out
        gcc a.o -Wl,--just-symbols=s.o -Wl,--export-dynamic-symbol-list=e => Link | in a.o s.o e | out a.out
        gcc a.o -Wl,-Map=p.map -Wl,--dependency-file=p.dep -Wl,--out-implib,p.lib -o p => Link | in a.o | out p p.map p.dep p.lib
        gcc a.o -Wl,-Map=/dev/null -o p => Link | in a.o | out p
        gcc a.o -Wl,-Map,d/ -o p => not ours: `-Map`: the linker derives the name of the map
        gcc a.o -Wl,-M -o p => Link | in a.o | out p | [Talkative]
        gcc a.o -Wl,-plugin,x.so -Wl,-plugin-opt=-pass-through=-lc => Link | in a.o x.so | out a.out | [Plugin, LinkTimeOptimization]
        gcc a.o -Wl,-plugin-opt=obj-path=x => not ours: `-plugin-opt=obj-path=x`: it may name a file
        clang a.o -Wl,-plugin-opt=mcpu=native => Link | in a.o | out a.out | [NativeArchitecture, LinkTimeOptimization]
        gcc a.o -Wl,-o,x => not ours: the linker is told another product
        gcc a.o -Wl,--no-such => not ours: option `--no-such` is not known
        gcc a.o -Wl,-z,relro,-z,now -Wl,--as-needed -o p => Link | in a.o | out p
        gcc -flto=4 a.o b.o -o p => Link | in a.o b.o | out p | Count(4) | [LinkTimeOptimization]
        gcc -flto=jobserver a.o -o p => Link | in a.o | out p | Many | [LinkTimeOptimization]
        gcc -flto=auto -g a.o -o p => Link | in a.o | out p | cwd | Many | [LinkTimeOptimization]
        clang -fuse-ld=lld a.o -o p => Link | in a.o | out p | Many
        clang -flto=thin -fuse-ld=lld a.o -o p => Link | in a.o | out p | Many | [LinkTimeOptimization]
        clang a.o -Wl,--thinlto-cache-dir=c -o p => not ours: `--thinlto-cache-dir=c`: a cache is read and written
        gcc -g a.c -o p => Link C | a.c | out p | cwd
        gcc -g a.o -o p => Link | in a.o | out p
        gcc -shared -fPIC a.o -o libx.so => Link | in a.o | out libx.so
        gcc -r -nostdlib a.o b.o -o x.o => Link | in a.o b.o | out x.o
        gcc -Wl,--reproduce=x.tar a.o => Link | in a.o | out a.out x.tar
        gcc -Wl,--save-temps a.o => not ours: `--save-temps`: temporary files are kept
        gcc a.o -o - => not ours: a program on standard output
        gcc a.o -o /dev/null => Link | in a.o
        ",
    );
}

#[test]
fn what_the_linker_is_told() {
    check_all_by(
        link_line,
        "
        gcc a.o -lfoo -Ld -L e b.a -l bar -o p => a.o -lfoo b.a -lbar L d e
        g++ a.o -Wl,-Bstatic -lfoo -Wl,-Bdynamic -lbar -l:libx.so.1 => a.o -lfoo(a) -lbar -l:libx.so.1 c++
        gcc a.o -lfoo -static => a.o -lfoo(a) static
        gcc a.o -Wl,-L,x -Ly -lfoo -Wl,-lbar => a.o -lfoo -lbar L y late x
        gcc -static a.o -lfoo => a.o -lfoo(a) static
        gcc -shared -nostdlib a.o -Wl,-rpath,/x:/y -Wl,-rpath-link=z => a.o needed /x /y z nolibs nostart shared
        gcc -nodefaultlibs --sysroot=/s -B/b -fuse-ld=gold a.o => a.o B /b nolibs root /s by gold
        gcc a.o -Wl,--push-state,-Bstatic -lx -Wl,--pop-state -ly => a.o -lx(a) -ly
        gcc -nostartfiles -r a.o => a.o nostart relocatable
        gcc x.c a.o -Wl,--start-group b.a c.a -Wl,--end-group => a.o b.a c.a
        gcc -c a.c => none
        ",
    );
}

#[test]
fn what_the_preprocessor_is_told() {
    check_all_by(
        preprocessing,
        "
        gcc -c -Ia -I b -iquote q -isystem s -idirafter z -isystemt a.c => Angle:a Angle:b Quote:q System:s After:z System:t
        gcc -c -DA -D B=1 -UA '-DF(x)=x y' -include k.h -imacros m.h a.c => +A +B=1 -A +F(x)=x y Whole:k.h Macros:m.h
        gcc -c -nostdinc -nostdinc++ --sysroot=/s a.cc => nostdinc nostdinc++ root:/s
        gcc -c --sysroot=/s -isysroot /h a.c => root:/h
        gcc -c -iprefix p/ -iwithprefix x -iwithprefixbefore y a.c => After:p/x Angle:p/y
        gcc -c -DA=1 -Wp,-DA=2,-I,x,-Iy -DA=3 a.c => Angle:x Angle:y +A=1 +A=3 +A=2
        gcc -c -Wa,-Id,-I,e x.S => as:d as:e
        clang -c -F f -iframework g -cxx-isystem h -c-isystem i a.c => Framework:f SystemFramework:g CxxSystem:h CSystem:i
        gcc -c --include-directory=a --define-macro=B -A x=y a.c => Angle:a +B #x=y
        gcc -c a.i => none
        gcc -c s.s => 
        ",
    );
}

#[test]
fn what_the_compiler_is_asked_with() {
    check_all_by(
        facts,
        "
        gcc -c -O2 -std=c11 -Wall -Wextra -DX -Ia -m32 -pthread -o x.o -MD a.c => -O2 -std=c11 -m32 -pthread -x c
        gcc -c -fPIC -fsanitize=address -g -ffile-prefix-map=/a=b -frandom-seed=x -fdiagnostics-color a.c => -fPIC -fsanitize=address -g -x c
        clang --target=aarch64-linux-gnu --sysroot=/s -resource-dir r -c -Xclang -target-feature -Xclang +crc a.cc => --target=aarch64-linux-gnu --sysroot=/s -resource-dir r -Xclang -target-feature -Xclang +crc -x c++
        g++ -c a.c -march=native -specs=x -Bb -nostdinc => -march=native -specs=x -Bb -nostdinc -x c++
        gcc -c s.S -D__ASSEMBLY__ => -x assembler-with-cpp
        gcc a.o -o p -O2 => -O2
        gcc -c -fno-such-flag -mno-such --param x=1 --param=y=2 -Wp,-fexec-charset=x a.c => -fno-such-flag -mno-such --param x=1 --param=y=2 -Xpreprocessor -fexec-charset=x -x c
        ",
    );
}

#[test]
fn iprefix_of_the_compiler_is_unknown() {
    check(
        "gcc -c -iwithprefix x a.c",
        "not ours: `-iwithprefix`: the prefix is the compiler's own",
    );
    check(
        "gcc -c -I- a.c",
        "not ours: `-I-`: the list of directories is split",
    );
}

#[test]
fn the_working_directory_in_the_product() {
    for (line, expected) in [
        ("gcc -c a.c", false),
        ("gcc -c -g a.c", true),
        ("gcc -c -ggdb3 a.c", true),
        ("gcc -c -g -g0 a.c", false),
        ("gcc -c -g0 -gdwarf-5 a.c", true),
        ("gcc -c -gsplit-dwarf a.c", true),
        ("gcc -c -g -fdebug-prefix-map=/work/proj=. a.c", false),
        ("gcc -c -g -ffile-prefix-map=/work/proj=. a.c", false),
        ("gcc -c -g -ffile-prefix-map=/work/proj/=./ a.c", false),
        ("gcc -c -g -fmacro-prefix-map=/work/proj=. a.c", true),
        ("gcc -c -g -ffile-prefix-map=/work=. a.c", true),
        ("gcc -c -g -ffile-prefix-map=/other=. a.c", true),
        ("clang -c -g -fdebug-compilation-dir=. a.c", false),
        ("clang -c -g -fdebug-compilation-dir . a.c", false),
        ("clang -c -g -ffile-compilation-dir=. a.c", false),
        ("gcc -c --coverage a.c", true),
        ("gcc -c --coverage -ffile-prefix-map=/work/proj=. a.c", true),
        ("gcc -c -fprofile-generate a.c", true),
        ("gcc -E -g a.c", true),
        ("gcc -E a.c", false),
        ("gcc -E -fworking-directory a.c", true),
        ("gcc -g a.o", false),
        ("gcc -g a.c", true),
        ("gcc -c -g s.s", true),
        ("clang -c -fcoverage-mapping a.c", true),
        ("clang -c -MJ x.json a.c", true),
        ("clang -c -gno-inline-line-tables a.c", true),
        ("clang -c -fsave-optimization-record a.c", true),
        ("gcc -c -fsave-optimization-record a.c", false),
        ("gcc -c -flto a.c", true),
        ("gcc -c -flto -fno-lto a.c", false),
        ("clang -c -flto a.c", false),
        ("gcc -flto a.o", false),
        ("gcc h.h", true),
    ] {
        assert_eq!(step(line).embeds_directory, expected, "{line}");
    }
    // gcc says what `PWD` says when that is the same directory.
    let line = "gcc -c -g -ffile-prefix-map=/work/proj=. a.c";
    for (shell, expected) in [("/work/proj", false), ("/link/proj", true)] {
        let compiler::Parsed::Step(step) = parsed_with(line, &[("PWD", shell)], &[]) else {
            panic!("not ours");
        };
        assert_eq!(step.embeds_directory, expected, "{shell}");
    }
}

#[test]
fn what_may_be_in_the_product_as_it_stands() {
    for (line, texts, is_instrumented) in [
        (
            "gcc -c -I /p/i -isystem/p/s -include /p/a.h /p/a.c -o /p/a.o",
            "-c",
            false,
        ),
        ("gcc -c -MD -MT /p/a.o -MQ/p/b -MF /p/a.d a.c", "-c -MD", false),
        (
            "gcc -c -g -DA=/p -D B=/p --sysroot=/p a.c",
            "-c -g -DA=/p -D B=/p --sysroot=/p",
            false,
        ),
        ("gcc -c -Wp,-MD,/p/a.d a.c", "-c -Wp,-MD,/p/a.d", false),
        (
            "clang -c -Xclang -include -Xclang /p/a.h a.c",
            "-c -Xclang -include -Xclang /p/a.h",
            false,
        ),
        ("gcc -L/p -Wl,-rpath,/p /p/a.o -lx", "-Wl,-rpath,/p -lx", false),
        ("gcc -c --coverage a.c", "-c --coverage", true),
        (
            "gcc -c -fprofile-generate=/p a.c",
            "-c -fprofile-generate=/p",
            true,
        ),
    ] {
        let step = step(line);
        assert_eq!(step.texts.join(" "), texts, "{line}");
        assert_eq!(step.is_instrumented, is_instrumented, "{line}");
    }
}

#[test]
fn absolute_paths_and_environment() {
    let step = step("gcc -c -I/usr/x -DP=/not --sysroot=/s /src/a.c -o out/a.o");
    assert_eq!(
        step.absolute_paths,
        ["/s", "/src/a.c", "/usr/x"].map(std::path::PathBuf::from)
    );
    for name in [
        "CPATH",
        "SOURCE_DATE_EPOCH",
        "LANG",
        "PWD",
        "COMPILER_PATH",
        "GCC_EXEC_PREFIX",
    ] {
        assert!(step.environment.contains(&name), "{name}");
    }
    assert!(!step.environment.contains(&"LD_RUN_PATH"));
    assert!(support::step("gcc a.o").environment.contains(&"LD_RUN_PATH"));
}
