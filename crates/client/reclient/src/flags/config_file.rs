//! The file that `-cfg` names.

/// `key=value` or `key value`, a line each; `#` begins a comment line, dashes before a key are left out, a key alone is
/// true. Lines may be of any length, unlike in reclient.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let at = line.find(|c: char| c == '=' || c.is_whitespace());
        let (key, value) = match at {
            None => (line, "true"),
            Some(at) => {
                let rest = line[at..].trim_start();
                (&line[..at], rest.strip_prefix('=').unwrap_or(rest).trim())
            }
        };
        let key = key.strip_prefix('-').unwrap_or(key);
        Some(Entry {
            line: index + 1,
            key: key.strip_prefix('-').unwrap_or(key),
            value,
        })
    })
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Its number, from one.
    pub(crate) line: usize,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_line() {
        let text = "\
# a comment
service=host:443

  instance = main \t
-platform=a=b,c=d
--exec_strategy remote
log_env
cache_dir=
labels   type=tool
";
        let found: Vec<_> = entries(text)
            .map(|entry| (entry.line, entry.key, entry.value))
            .collect();
        assert_eq!(
            found,
            [
                (2, "service", "host:443"),
                (4, "instance", "main"),
                (5, "platform", "a=b,c=d"),
                (6, "exec_strategy", "remote"),
                (7, "log_env", "true"),
                (8, "cache_dir", ""),
                (9, "labels", "type=tool"),
            ]
        );
    }

    #[test]
    fn a_long_line_is_a_line() {
        let text = format!("inputs={}", "x".repeat(200_000));
        assert_eq!(entries(&text).next().unwrap().value.len(), 200_000);
    }
}
