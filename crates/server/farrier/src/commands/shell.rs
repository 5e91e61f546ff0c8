//! Words as a shell reads them.

/// Quotes a word so that a POSIX shell reads it back as it is.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A command line to paste.
pub(crate) fn joined(words: &[String]) -> String {
    words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let words = [
            "gcc",
            "-DX=\"a b\"",
            "",
            "it's",
            "$HOME",
            "a\nb",
            "*",
            "~",
            "é",
            "--x=y",
            "a'b\"c\\",
        ];
        let words = words.map(str::to_owned);
        let script = format!("printf '%s\\0' {}", joined(&words));
        let printed = std::process::Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .output()
            .unwrap();
        let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), expected);
        assert_eq!(joined(&words[..1]), "gcc");
    }
}
