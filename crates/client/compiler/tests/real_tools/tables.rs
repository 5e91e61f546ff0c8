//! Commands that real tools are run with.

/// For every driver that takes the names of gcc's options. `CC` stands for it.
pub(crate) const BOTH: &str = "
CC -c a.c
CC -c a.c -o d/x.o
CC -c a.c -od/x.o
CC -c a.c -MD
CC -c a.c -MMD -o d/x.o
CC -c a.c -o d/x -MD --coverage
CC -c a.c -o d/x.y.o -MMD
CC -c d/e.c -MD
CC -c d/e.c -g -gsplit-dwarf -fstack-usage --coverage -MD
CC -c a.c -o d/x.o -MD --coverage -gsplit-dwarf -g -fstack-usage
CC -c a.c -MD -MF d/rules.d
CC -c a.c -MD -MFd/rules.d -MT a.o -MP
CC -c a.c -Wp,-MD,d/.x.o.d -o d/x.o
CC -c a.c -Wp,-MD,d/.x.o.d -Wp,-MT,d/x.o -o d/x.o
CC -c a.c -Wp,-MMD,d/.x.o.d -MD -o d/x.o
CC -c a.c b.c -MD
CC -c a.c b.c -MD -MF one.d
CC -c a.c b.c p.c -gsplit-dwarf -g --coverage -fstack-usage
CC -E a.c
CC -E a.c -o x.i
CC -E a.c -MD -o x.i
CC -E a.c -MD
CC -E -P -dD a.c -o x.i
CC -M a.c
CC -MM a.c -o x.d
CC -M a.c -MF x.d
CC -M a.c -MF x.d -o y
CC -M a.c b.c
CC -S a.c
CC -S a.c -MD -o d/q.asm
CC -S a.c --coverage -gsplit-dwarf -fstack-usage -g
CC -S -o - a.c
CC -fsyntax-only a.c
CC -fsyntax-only a.c -MD -MF x.d
CC -c -x c - < a.c
CC -c -x c - -o d/in.o -MD < a.c
CC -c -x c - -MD < a.c
CC -c -x c /dev/stdin < p.c
CC -S -x c - -o - < a.c
CC -E - < a.c
CC -c -x assembler - -o s.o < s.s
CC -c -x assembler-with-cpp - -o s.o < s.s
CC -c s.s -MD
CC -c t.S -MD
CC -c t.S -Wp,-MD,d/t.d -o d/t.o
CC -c s.s -g -gsplit-dwarf --coverage
CC -c t.S -MD -o d/t.o -g -gsplit-dwarf
CC -c pre.i -MD -o d/pre.o -MF x.d
CC -c pre.i
CC -c a.c -o x.o -o y.o
CC -c a.c -Wp,-MD,a.d -Wp,-MMD,b.d
CC -c a.c -MD -E -MF z.d -o q
CC -E t.S -o x
CC -M t.S
CC -E h.h -o x
CC -c -MMD 'with space.c' -o 'd/x y.o'
CC -c -o /dev/null p.c
CC -c -x c /dev/null -o d/null.o
CC -E -x c /dev/null -o /dev/null
CC -c a.c -ftest-coverage
CC -c a.c -fprofile-arcs
CC -E a.c -o x.i --coverage -fstack-usage
CC -c a.c -save-temps
CC -c a.c -save-temps -o d/x.o
CC -c a.c -save-temps=obj -o d/x.o
CC -c m.cc -save-temps=obj -o d/x.o
CC -c t.S -save-temps -o d/x.o
CC -S a.c -save-temps
CC h.h
CC -fsyntax-only h.h
CC h.h -o d/h.gch
CC -x c-header h.h -o pch -MD -MF x.d
CC -c a.c -fsave-optimization-record -O2 -o d/x.o
CC -c empty.c --coverage -gsplit-dwarf -g -fstack-usage -O2
CC -c p.x.c -MD
CC -c a.c -include h.h -Id -Wall -pipe
CC -c @args.rsp
CC p.c
CC p.c -o prog
CC p.c a.c b.c -o d/prog
CC -MD p.c
CC -MD p.c -o d/prog
CC -MD p.c -o d/prog.exe
CC -MD p.c a.c b.c -o d/prog
CC -Wp,-MMD,d/.prog.d -o d/prog p.c
CC p.c a.c b.c -g -gsplit-dwarf -o d/prog
CC p.c -g -gsplit-dwarf
CC p.c -fstack-usage -o d/p
CC p.c -fstack-usage -o prog.x
CC a.c b.c -shared -fPIC -o libx.so.1 -MD -Wl,-soname,libx.so.1
CC -c a.c -MD -o d/libx.so.1.o
CC p.c -o prog -Wl,-Map=d/prog.map
CC p.c -o prog -Wl,-Map,d/prog.map -Wl,--dependency-file=d/prog.dep
CC p.c -o prog -Xlinker -Map -Xlinker d/prog.map
CC -r -nostdlib o.o -o d/r.o
CC o.o p.c -o prog
CC -flto p.c -o prog
CC -flto -c a.c --coverage -fstack-usage -g -gsplit-dwarf -o d/x.o
CC -S a.c -Wa,-a=a.lst
CC -c a.c -Wa,-Id -o d/x.o
CC -c s.s -Id -Wa,-I,d -o d/x.o
CC d/h2.h
CC -g -c a.c -gz -o d/x.o
CC -c a.c -march=native
CC -print-search-dirs
CC --version
CC -dumpmachine
CC -v
CC -### -c a.c
";

/// With gcc's own options.
pub(crate) const GCC: &str = "
gcc -c a.c -fcallgraph-info -o d/x.o
gcc -c a.c -aux-info x.aux
gcc -c a.c -fopt-info-vec=x.opt -O2
gcc -c a.c -fopt-info -O2
gcc -c a.c --coverage -fprofile-note=d/n.gcno
gcc -c a.c -Xpreprocessor -MD -Xpreprocessor x.d
gcc -c a.c -Wa,-a=a.lst
gcc -c a.c -Wa,-adhln=d/a.lst -g
gcc -c a.c -Wa,--MD,d/as.d
gcc -c -g0 -gsplit-dwarf a.c
gcc --coverage p.c a.c b.c -o d/prog
gcc --coverage p.c
gcc --coverage p.c -o d/p
gcc --coverage p.c -o d/prog.exe
gcc -flto=2 p.c a.c b.c -o prog
gcc -MM a.c b.c -o x
gcc p.c -fcallgraph-info -o prog
g++ -c m.cc -MD -o d/m.o
g++ m.cc -o d/prog
g++ -c a.c -MD
";

/// With clang's own options.
pub(crate) const CLANG: &str = "
clang -c a.c -ftime-trace -o d/x.o
clang -c a.c -ftime-trace
clang -c -o - p.c
clang -c -g -gsplit-dwarf=single a.c
clang -c -gsplit-dwarf -g0 a.c
clang -c a.c -emit-llvm
clang -S a.c -emit-llvm -o d/x.ll
clang -c a.c -flto -o d/x.o
clang -c a.c -MJ x.json
clang -c a.c --serialize-diagnostics x.dia
clang -c a.c -fsave-optimization-record -foptimization-record-file=x.yaml -O2
clang -c m.cc -Xclang -emit-pch -o d/m.pch -x c++-header
clang -c a.c -mllvm -inline-threshold=100
clang -c a.c -no-integrated-as
";

/// Binutils.
pub(crate) const BINUTILS: &str = "
as s.s
as s.s -o d/s.o --MD d/s.d
as -a=d/s.lst s.s -o s.o
as -al s.s
as -o s.o < s.s
as -o s.o -- < s.s
as --version
ld -r o.o -o d/r.o
ld -r o.o
ld -e f -o prog o.o -Map=x.map
ld -e f -oprog o.o -Map x.map --dependency-file x.dep
ld -e f -o prog @ld.rsp
ld -v
ld --version
ld --verbose
ar rcsD new.a o.o
ar rcs lib.a o.o
ar cDPrST thin.a lib.a o.o
ar dD lib.a o.o
ar sD lib.a
ar x lib.a o.o
ar t lib.a
ar p lib.a o.o
ar rvD lib.a o.o
ar mPiD o.o lib.a o.o
ranlib -D lib.a
ranlib lib.a
objcopy o.o d/c.o
objcopy -S o.o
objcopy --only-keep-debug o.o d/o.debug
objcopy --dump-section .text=d/text o.o /dev/null
objcopy --add-section .x=h.h o.o d/c.o
objcopy -I binary -O elf64-x86-64 h.h d/h.o
objcopy -v o.o d/c.o
strip o.o
strip -g -o d/s.o o.o
strip -g lib.a
nm o.o
nm --quiet -n o.o lib.a
nm -gntx --defined-only lib.a
nm -f posix -X 32_64 --print-armap lib.a
";

/// rustc, with every kind of product.
pub(crate) const RUSTC: &str = "
rustc --crate-name l --crate-type lib l.rs
rustc --crate-name l --crate-type lib --emit=link,metadata,dep-info,obj,asm,llvm-ir,llvm-bc,mir -C extra-filename=-x --out-dir d l.rs
rustc --crate-name l --crate-type lib --emit=dep-info=d/x.d,obj=d/y.o l.rs
rustc --crate-name l --crate-type lib --emit=dep-info=- l.rs
rustc --crate-name l --crate-type lib --emit=obj -o d/x.o l.rs
rustc --crate-name l --crate-type cdylib,staticlib,rlib l.rs
rustc --crate-name l --crate-type dylib -g l.rs
rustc --crate-name l --crate-type lib --emit=link,obj -C codegen-units=4 l.rs
rustc --crate-name l --crate-type lib - < l.rs
rustc m.rs
rustc m.rs -o d/prog
rustc --crate-name m --crate-type bin --emit=metadata,dep-info m.rs
rustc --crate-name m --test m.rs
rustc --crate-type lib a-b.rs
rustc --print cfg
rustc -vV
";

/// javac, with directories for everything.
pub(crate) const JAVAC: &str = "
javac -d out A.java
javac -d out -cp d -proc:none -h headers A.java
javac -version
";

/// Commands that read something beside their source.
pub(crate) const READS: &str = "
gcc -c a.c -include h.h -o d/x.o
gcc -c -x c - < a.c
gcc -c @args.rsp
gcc -c s.s t.S -Wa,-Id
gcc p.c b.c o.o -o prog
gcc p.c lib.a -Wl,-Map=d/map -Wl,--version-script=v.map -Wl,--dynamic-list,l.map -o prog
gcc p.c -Wl,--retain-symbols-file=syms -Wl,-R,o.o -o prog
gcc -r -nostdlib p.c -T ./x.lds -o d/r.o
gcc -shared -fPIC b.c -Wl,--export-dynamic-symbol-list=l.map -o libb.so
gcc -r -nostdlib o.o lib.a -o d/r.o
gcc -c a.c -fprofile-use=b.gcda -Wno-coverage-mismatch
ld -e f o.o lib.a -T x.lds -o prog
ld -e f @ld.rsp -o prog --default-script=x.lds
ld -r o.o --just-symbols=lib.a -o d/r.o
ar rcsD new.a o.o lib.a
ar rcsD lib.a o.o
ar cDPrST thin.a lib.a o.o
ar t lib.a
ar x lib.a o.o
ranlib -D lib.a
objcopy --add-section .x=h2.h --redefine-syms=syms --keep-symbols syms o.o d/c.o
objcopy --add-gnu-debuglink=lib.a o.o d/c.o
strip -o d/s.o o.o
nm -A o.o lib.a
as -Id s.s -o s.o
";
