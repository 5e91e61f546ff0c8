//! Recipes through `farrier-sh` and through `/bin/sh`: what is printed, what is made and how it ends must be the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod both;
mod random;

use both::{is_dash, ours, theirs};

fn check(recipe: &str) {
    if !is_dash() {
        return;
    }
    assert_eq!(recipe_shell::is_ours(recipe.as_bytes()), Ok(()), "{recipe}");
    for flags in ["-c", "-ec"] {
        assert_eq!(ours(flags, recipe), theirs(flags, recipe), "{flags} {recipe}");
    }
}

fn check_left(recipe: &str) {
    if !is_dash() {
        return;
    }
    assert!(recipe_shell::is_ours(recipe.as_bytes()).is_err(), "{recipe}");
    assert_eq!(ours("-c", recipe), theirs("-c", recipe), "{recipe}");
}

/// A single program takes the place of the shell, as make does it where a recipe needs no shell: what ends it ends the recipe.
#[test]
fn one_program_takes_the_shells_place() {
    if !is_dash() {
        return;
    }
    assert_eq!(ours("-c", "sh -c 'kill -9 $$'").signal, Some(9));
    assert_eq!(ours("-c", "sh -c 'kill -9 $$' >x").code, Some(137));
    assert_eq!(ours("-c", "sh -c 'echo $PPID; kill -9 $$'; :").code, Some(0));
}

#[test]
fn commands_one_after_another() {
    check("true; false; echo after");
    check("false || echo or; true && echo and; false && echo not");
    check("false && true; echo $?");
    check("! true; echo $?; ! false; echo $?");
    check("! false && echo x");
    check("set -e; false; echo not reached");
    check("set -e; false || true; ! true; echo reached; (false); echo not");
    check("set -e; if false; then echo a; fi; echo b");
    check("set -e; { false; echo not; }; echo neither");
    check("set -e; true && false; echo not");
    check("set -e; false && true; echo reached");
    check("exit 3; echo not");
    check("(exit 4); echo $?");
    check("false; exit");
    check("\n\n  echo a # comment ' \n echo b \\\n  c\n");
    check(": a b; echo $?");
    check("if false; then echo a; elif true; then echo b; else echo c; fi");
    check("if false; then echo a; fi; echo $?");
    check("if test -f a; then cat a b; else echo none; fi");
    check("false; if false; then :; fi; echo $?");
    check("/bin/sh -c 'exit 7'; echo $?");
    check("/bin/sh -c 'kill -9 $$'; echo $?");
    check("true; /bin/sh -c 'kill -9 $$'");
    check("/bin/sh -c 'kill -TERM $$'; echo $?");
    check("/bin/sh -c 'kill -INT $$'; echo $?");
}

#[test]
fn words_and_variables() {
    check("printf '[%s]' $WORDS \"$WORDS\" x${WORDS}y ''; echo");
    check("A=1; B=\"$A 2\"; printf '%s\\n' $B \"$B\" '$B' \\$B");
    check("WORDS=new; printenv WORDS; OTHER=x; printenv OTHER");
    check("WORDS=for_this printenv WORDS");
    check("WORDS=for_this sh -c 'echo $WORDS'; echo $WORDS");
    check("echo a'b'\"c\"d \"e'f\" 'g\"h' \\' \"\\$\"");
    check("printf '%s %s|' a b c; printf 'none\\n'; printf '%%\\t\\\\\\n'");
    check("printf '%s\\n' 'a\\b' '%d' \"back\\\\slash\"");
    check("echo -n x; echo -n; echo; echo - -n");
    check("echo \"$NOT_SET_ANYWHERE_\" $NOT_SET_ANYWHERE_ x");
    check("'A=1' 2>err; echo $?");
    check("echo {a,b} a=b c:d %x ,y +z @w ^v");
}

#[test]
fn questions() {
    for question in [
        "-f a",
        "-f d",
        "-d d",
        "-e none",
        "-s a",
        "-x no-interpreter",
        "-L link",
        "-h a",
        "-r a",
        "-n ''",
        "-z ''",
        "x",
        "''",
        "a = a",
        "a != a",
        "-n = -n",
        "'' = ''",
        "\"$WORDS\" = 'two  words'",
    ] {
        check(&format!(
            "[ {question} ] && echo yes || echo no; test {question}; echo $?"
        ));
    }
}

#[test]
fn files_are_made_and_removed() {
    check("rm -f a none; mkdir -p x/y/z d; rm -rf d; echo $?");
    check("rm -f d; echo $?");
    check("rm none; echo $?");
    check("rm -rf .; echo $?");
    check("mkdir -p a; echo $?; mkdir d; echo $?; mkdir -p; echo $?");
    check("cat a b > c; cat c d/in >> c2; cat none; echo $?; cat d; echo $?; cat -n a");
    check("cat < a > copy; cat a - < b");
    check("echo x > d/new; echo y >> d/new; echo z 2> errors >&2; cat d/new");
    check("rm -f -- a; rm -f ./-x");
    check("(echo out; echo err >&2) > both 2>&1; { echo g; cat a; } > group");
    check("echo a > none/x; echo $?");
    check(": > none/x; echo not reached");
    check("cat < none; echo $?");
    check("echo x > d; echo $?");
    check("if echo in; cat none; then echo yes; else echo no; fi > all 2>&1; cat all");
    check("echo to both 2>&1 >out; cat out");
    check("echo 2>x 3; cat x");
}

/// What a reader of this shell has found to differ once.
#[test]
fn what_differed_once() {
    check("rm -rf d/.; echo $?; rm -rf ./d/./; rm -rf d/in/..; ls d");
    check("cat a >> a; echo $?; cat b a > a; echo $?; cat a");
    check("printf leftover >/dev/full; echo next > f; cat f");
    check("echo x 1<a; echo $?; printf x >/dev/full; echo $?");
    check("cat < a/x; ./a/x; echo $?");
    check(
        "cat b 2>&1 <none; echo $? 2>err >none/x; { echo x; } 2>err >none/x; (echo x) 2>>err <none; cat err",
    );
    check("echo 1 | xargs sh -c 'exit 200'; echo $?; echo 1 | xargs sh -c 'exit 127'; echo $?");
    check("echo 1 | xargs sh -c 'exit 255'; echo $?; echo 1 | xargs sh -c 'kill -9 $$'; echo $?");
    check("echo 1 | xargs ./none; echo $?; echo 1 | xargs ./a; echo $?");
    check("sh -c 'kill -12 $$'; sh -c 'kill -14 $$'; sh -c 'kill -34 $$'; echo $?");
    check("trap 'rm -f a; exit 4' EXIT; false");
    check("'a\nb' c; foo\n'd\n' e");
    for recipe in [
        "echo $PWD $OLDPWD $PPID",
        "rm -f \"$PWD/a\"",
        "trap 'rm -f a; exit' EXIT; false",
        "A='*'; trap 'echo $A' EXIT",
        "trap '(cd d; echo x >f); echo y >g' EXIT",
        "trap 1 EXIT; echo a",
        "trap 'echo a' INT; (sh -c 'kill -INT $PPID'; echo c); echo d",
        "D=d F=$D/x sh -c 'echo $F'",
        "echo hi <&2",
        "in foo",
        "cd //tmp; echo a",
        "\"\"",
    ] {
        check_left(recipe);
    }
}

#[test]
fn programs() {
    check("sh -c \"env | grep -E '^(PWD|OLDPWD|_|SHLVL|WORDS)='\"; printenv PWD OLDPWD SHLVL");
    check("./no-interpreter 5; echo $?");
    check("no-such-command x; echo $?");
    check("true\nno-such-command\n");
    check("./none; echo $?; ./a; echo $?; ./d; echo $?");
    check("printf 'd/%s ' in in | xargs cat; echo $?");
    check("printf '%s ' none | xargs cat; echo $?");
    check("echo a b | xargs echo first; echo | xargs echo; echo \"a 'b c'\" | xargs echo");
    check("echo some text | cat; echo text | tr a-z A-Z; printf x | sh -c 'exit 5'; echo $?");
    check("echo text | cat > copy; cat copy");
    check("cd d && cat in && printenv PWD OLDPWD; cd ../d/../d; printenv PWD OLDPWD");
    check("cd none; echo $?");
    check("cd none && echo not; cd d && ls");
    check("set -e; cd none; echo not");
    check("head -c 1 a; sed -n p b");
}

#[test]
fn traps() {
    check("trap 'rm -f a' EXIT; echo x; ls a");
    check("trap \"echo ended $$ >/dev/null; echo bye\" EXIT; exit 3");
    check("set -e; trap 'echo bye' EXIT; false; echo not");
    check("trap 'echo bye; exit 9' EXIT; true");
    check("trap 'echo bye' EXIT; trap - EXIT; true");
    check("trap 'rm -f a; trap - TERM; kill -s TERM $$' TERM; sh -c 'kill -TERM $PPID'; echo not reached");
    check("trap 'rm -f a; trap - INT; kill -s INT $$' INT; sh -c 'kill -INT $PPID'; echo not reached");
    check(
        "trap 'echo caught' HUP; sh -c 'kill -HUP $PPID'; echo goes on; sh -c 'kill -HUP $PPID; exit 3'; echo $?",
    );
    check("trap 'echo caught' HUP; kill -s HUP $$; echo on");
    check("trap 'echo a' HUP; kill -s HUP $$; trap - HUP; trap 'echo b' HUP; kill -s HUP $$; echo on");
    check("trap 'echo a' HUP; kill -s HUP $$; trap - HUP; kill -s HUP $$; echo not");
    check("kill -s TERM $$; echo not");
    check(
        "set -e;  trap 'rm -f x; trap - HUP; kill -s HUP $$' HUP;  trap 'rm -f x; trap - PIPE; kill -s PIPE $$' PIPE; ",
    );
}

#[test]
fn whatever_else_there_is_is_left_to_the_shell() {
    for recipe in [
        "echo *",
        "echo ~",
        "echo $(echo sub) `echo back`",
        "for x in a b; do echo $x; done",
        "case a in a) echo yes;; esac",
        "while false; do :; done; echo done",
        "f() { echo function; }; f",
        "cat <<E\nhere\nE\n",
        "true & wait; echo waited",
        "ls | sort | head -n 1",
        "echo ${WORDS:-x} ${#WORDS} $1 $# $@",
        "export X=1; env | grep ^X",
        "eval echo evaluated",
        "read x < a; echo $x",
        "echo 'a\\nb'",
        "echo \\\\x",
        "printf '%d\\n' 5",
        "exec echo replaced",
        "A='*'; echo $A",
        "PATH=/nowhere; ls",
        "(cd d; pwd); pwd",
        "(trap 'echo inner' EXIT); echo x",
        "echo a 3>x",
        "echo 'unterminated",
        "if true; echo x",
        "echo a >&-",
        "test -f a -a -f b && echo both",
        "trap '' INT; echo x",
        "umask 077; mkdir -p m; ls -ld m | cut -c1-10",
        "[ 1 -lt 2 ] && echo less",
        ". ./no-interpreter",
        "set -x; echo traced",
        "( )",
        "echo a;; echo b",
        "{ echo x }",
        "then",
    ] {
        check_left(recipe);
    }
}
