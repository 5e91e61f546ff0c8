//! Command lines of rustc, javac, d8, r8, metalava, tsc, clang-tidy and header-abi-dumper.

mod support;

use support::{check_all, check_all_by, parsed_with, preprocessing, rendered};

#[test]
fn rustc() {
    check_all(
        "
        rustc --crate-name l --crate-type lib l.rs => Compile Rust | l.rs | out libl.rlib | cwd | Many | [InputsNameInputs, AnyVariable]
        rustc --crate-name l --edition=2021 src/lib.rs --crate-type lib --emit=dep-info,metadata,link -C metadata=x -C extra-filename=-x --out-dir t/deps -L dependency=t/deps --extern a=t/deps/liba.rmeta --extern m=t/deps/libm.so => Compile Rust | src/lib.rs | in t/deps/liba.rmeta t/deps/libm.so | in/ t/deps | out t/deps/l-x.d t/deps/libl-x.rmeta t/deps/libl-x.rlib | rule t/deps/l-x.d | cwd | Many | [Plugin, InputsNameInputs, AnyVariable]
        rustc --crate-name k --emit=dep-info=d/.k.d,obj=d/k.o,metadata=d/libk.rmeta --crate-type rlib -Cpanic=abort -Zcrate-attr=no_std --target=./t.json k.rs => Compile Rust | k.rs | in ./t.json | out d/.k.d d/k.o d/libk.rmeta | rule d/.k.d | cwd | Many | [InputsNameInputs, AnyVariable]
        rustc m.rs => Compile Rust | m.rs | out m? libm.rlib? libm.so? | cwd | Many | [OtherTools, UncertainNames, InputsNameInputs, AnyVariable]
        rustc m.rs -o prog => Compile Rust | m.rs | out prog | cwd | Many | [OtherTools, UncertainNames, InputsNameInputs, AnyVariable]
        rustc --crate-name m --crate-type bin m.rs => Compile Rust | m.rs | out m | cwd | Many | [OtherTools, InputsNameInputs, AnyVariable]
        rustc --crate-name m --test m.rs => Compile Rust | m.rs | out m | cwd | Many | [OtherTools, InputsNameInputs, AnyVariable]
        rustc --crate-name m --crate-type=cdylib,staticlib m.rs => Compile Rust | m.rs | out libm.so libm.a | cwd | Many | [OtherTools, InputsNameInputs, AnyVariable]
        rustc --crate-name m --crate-type proc-macro m.rs => Compile Rust | m.rs | out libm.so | cwd | Many | [OtherTools, InputsNameInputs, AnyVariable]
        rustc --crate-name m --crate-type lib --emit=asm,llvm-ir,llvm-bc,mir,obj m.rs -Ccodegen-units=1 => Compile Rust | m.rs | out m.s m.ll m.bc m.mir m.o | cwd | [InputsNameInputs, AnyVariable]
        rustc m.rs -o x --emit=link,dep-info => not ours: one name for several products
        rustc --crate-name l --crate-type lib --emit=dep-info=- l.rs => Compile Rust | l.rs | stdout | cwd | Many | [InputsNameInputs, AnyVariable]
        rustc --crate-name m -C incremental=x m.rs => not ours: `-C incremental=x`: the previous build is read and written
        rustc --crate-name m -Csave-temps m.rs => not ours: `-C save-temps`: temporary files are kept
        rustc --crate-name m -Csplit-debuginfo=packed m.rs => not ours: `-C split-debuginfo=packed`: files beside, by names of rustc's own
        rustc --crate-name m --crate-type bin -Clinker=cc -Clink-arg=-fuse-ld=lld m.rs => Compile Rust | m.rs | out m | cwd | Many | [OtherTools, InputsNameInputs, AnyVariable]
        rustc --crate-name m --crate-type bin -Clink-arg=-Tx.ld m.rs => not ours: `-C link-arg=-Tx.ld`: the linker may read or write files by it
        rustc --crate-name m -C no-such=1 m.rs => not ours: option `-C no-such=1` is not known
        rustc --crate-name m -Zself-profile m.rs => not ours: `-Zself-profile`: an unstable option
        rustc --crate-name m --crate-type lib -Cprofile-use=x.profdata -Ctarget_cpu=native m.rs => Compile Rust | m.rs | in x.profdata | out libm.rlib | cwd | Many | [NativeArchitecture, Profile, InputsNameInputs, AnyVariable]
        rustc --crate-name m --crate-type bin --target x86_64-pc-windows-gnu m.rs => not ours: `--target`: products have other names there
        rustc --crate-name m --crate-type lib --remap-path-prefix /work/proj=/x m.rs => Compile Rust | m.rs | out libm.rlib | Many | [InputsNameInputs, AnyVariable]
        rustc - --crate-name ___ --print=file-names => Probe | stdin | stdout
        rustc --print cfg => Probe | stdout
        rustc --print cfg=x => not ours: `--print`: an answer is written to a file
        rustc -vV => Probe | stdout
        rustc --crate-type lib - --crate-name l => Compile Rust | out libl.rlib | stdin | cwd | Many | [InputsNameInputs, AnyVariable]
        rustc a.rs b.rs => not ours: no input
        rustc --no-such a.rs => not ours: option `--no-such` is not known
        ",
    );
}

#[test]
fn javac() {
    check_all(
        "
        javac -d out -cp a.jar:classes:lib/* -s gen A.java B.java => Generate Java | A.java B.java | in a.jar | in/ classes lib | out out/ gen/ | [Plugin]
        javac -d out -classpath a.jar -proc:none -source 11 -target 11 A.java => Generate Java | A.java | in a.jar | out out/
        javac -d out --class-path=a.jar -processorpath p.jar -processor P -Akey=v A.java => Generate Java | A.java | in a.jar p.jar | out out/ | [Plugin]
        javac -d out -bootclasspath r.jar --system=none -cp a.jar A.java => Generate Java | A.java | in r.jar a.jar | out out/ | [Plugin]
        javac -d out --system=sys -cp a.jar -proc:none A.java => Generate Java | A.java | in a.jar | in/ sys | out out/ | [OtherTools]
        javac -d out -cp a.jar -proc:none -Aroom.schemaLocation=s A.java => Generate Java | A.java | in a.jar | in/ s | out out/ s/ | [Updates]
        javac A.java => not ours: `javac`: without `-d`, classes are put beside their sources
        javac -d out A.java => Generate Java | A.java | in/ . | out out/ | [Plugin]
        javac -d out com.x.A => not ours: `com.x.A`: a class by its name
        javac -version => Probe Java | stdout
        javac -J-Xmx1g -d out A.java => not ours: `-J-Xmx1g`: an option of the virtual machine
        javac --no-such -d out A.java => not ours: option `--no-such` is not known
        javac -d out => not ours: no input
        ",
    );
    let held = [("srcs", "A.java # all of it\n\"B C.java\""), ("nest", "@srcs")];
    assert_eq!(
        rendered(&parsed_with(
            "javac -d out -cp a.jar -proc:none @srcs",
            &[],
            &held
        )),
        "Generate Java | A.java B C.java | in a.jar srcs | out out/"
    );
    assert_eq!(
        rendered(&parsed_with("javac -d out -cp a.jar @nest", &[], &held)),
        "not ours: `@srcs`: a response file within another"
    );
    assert_eq!(
        rendered(&parsed_with(
            "javac -d out A.java",
            &[("CLASSPATH", "x.jar")],
            &[]
        )),
        "not ours: environment variable CLASSPATH is set"
    );
}

#[test]
fn dexers() {
    check_all(
        "
        d8 --output out --lib android.jar --min-api 24 --main-dex-list l --release a.jar => Generate Java | a.jar | in android.jar l | out out/
        d8 --output out.zip --classpath cp.jar a.jar b.jar => Generate Java | a.jar b.jar | in cp.jar | out out.zip
        d8 a.jar => not ours: `--output`: without it, the working directory is filled
        d8 --no-such a.jar => not ours: option `--no-such` is not known
        r8 --output out.jar --lib android.jar --pg-conf p.flags --pg-map-output m a.jar => Generate Java | a.jar | in android.jar p.flags | out m out.jar | [InputsNameInputs]
        r8 -injars a.jar -libraryjars l.jar -include p.flags --output o -printmapping m -printconfiguration c -printusage u => Generate Java | in a.jar l.jar p.flags | out m c u o/ | [InputsNameInputs]
        r8 -injars a.jar(!META-INF/**) --output o => not ours: `-injars`: a filter
        r8 --version => Probe Java | stdout
        ",
    );
}

#[test]
fn metalava() {
    check_all(
        "
        metalava --classpath a.jar --source-path src --api api.txt --removed-api r.txt --stubs stubs A.java => Generate Java | A.java | in a.jar | in/ src | out api.txt r.txt stubs/
        metalava --check-compatibility:api:released old.txt --baseline b.txt --api a.txt --strict-input-files d A.java => Generate Java | A.java | in old.txt b.txt | out a.txt d | rule d
        metalava --generate-api-levels l.xml --current-version 33 --hide X A.java => Generate Java | A.java | out l.xml
        metalava --version => Probe Java | stdout
        metalava --no-such => not ours: option `--no-such` is not known
        metalava A.java => not ours: no input
        ",
    );
}

#[test]
fn typescript() {
    check_all(
        "
        tsc a.ts --outDir out --target es2020 --strict => Generate TypeScript | a.ts | out out/ | [InputsNameInputs]
        tsc a.ts --outFile out.js => Generate TypeScript | a.ts | out out.js | [InputsNameInputs]
        tsc a.ts --outFile out.js --declaration => not ours: `declaration`: files beside the one that is named
        tsc a.ts --noEmit => SyntaxOnly TypeScript | a.ts | [InputsNameInputs]
        tsc a.ts => not ours: `tsc`: without `--outDir`, products are put beside every imported file
        tsc => not ours: `tsc`: a project file decides
        tsc -p tsconfig.json => not ours: `-p`: a project file decides
        tsc a.ts --outDir out --declaration --declarationDir types => Generate TypeScript | a.ts | out out/ types/ | [InputsNameInputs]
        tsc a.ts --outDir out --strict false => not ours: `--strict`: a flag with a value
        tsc a.ts --outDir out --incremental => not ours: `--incremental`: the previous build is read and written
        tsc --version => Probe TypeScript | stdout | [InputsNameInputs]
        tsc --noSuch a.ts => not ours: option `--noSuch` is not known
        ",
    );
}

#[test]
fn tools_on_clang() {
    check_all(
        "
        clang-tidy -checks=* --quiet a.cc -- -Iinc -DX -std=c++17 => SyntaxOnly Cxx | a.cc | stdout | [InputsNameInputs]
        clang-tidy --config-file=t.cfg --export-fixes=f.yaml a.cc b.cc -- -c -o x.o => not ours: one product of several sources
        clang-tidy -fix a.cc -- => not ours: `-fix`: sources are edited
        clang-tidy a.cc => not ours: `--`: without it, a compilation database decides
        clang-tidy -p build a.cc => not ours: `--`: without it, a compilation database decides
        clang-tidy --version => Probe | stdout
        clang-tidy -load=x.so a.cc -- => SyntaxOnly Cxx | a.cc | in x.so | stdout | [Plugin, InputsNameInputs]
        clang-tidy --extra-arg=-DY a.cc -- --no-such => not ours: option `--no-such` is not known
        clang-tidy --no-such a.cc -- => not ours: option `--no-such` is not known
        header-abi-dumper --root-dir . -I inc -o a.sdump a.h -- -Iinc2 -x c++ => Generate Cxx | a.h | out a.sdump
        header-abi-dumper -o a.sdump a.cc => not ours: `--`: without it, a compilation database decides
        ",
    );
    check_all_by(
        preprocessing,
        "clang-tidy -extra-arg=-DY a.cc -- -Iinc -DX => Angle:inc +X +Y",
    );
}
