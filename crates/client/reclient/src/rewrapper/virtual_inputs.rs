//! The value of `-virtual_inputs`.

use settings::VirtualInput;

/// `path=…,digest=…,mtime=…,filemode=…` with `;` between inputs. Properties of other names are passed over, as reclient
/// does; those two that must be there are the first two.
pub(crate) fn parse(text: &str) -> Result<Vec<VirtualInput>, String> {
    text.split(';')
        .filter(|input| !input.is_empty())
        .map(|input| one(input).ok_or_else(|| complaint(input)))
        .collect()
}

fn one(text: &str) -> Option<VirtualInput> {
    let mut input = VirtualInput::default();
    for property in text.split(',') {
        let Some((name, value)) = property.split_once('=') else {
            continue;
        };
        match name {
            "path" => input.path = value.into(),
            "digest" => input.digest = value.to_owned(),
            "mtime" if !value.is_empty() => input.mtime_ns = Some(value.parse().ok()?),
            "filemode" if !value.is_empty() => input.mode = Some(u32::from_str_radix(value, 8).ok()?),
            _ => {}
        }
    }
    let is_whole = !input.path.as_os_str().is_empty() && !input.digest.is_empty();
    is_whole.then_some(input)
}

fn complaint(input: &str) -> String {
    format!("virtual input {input:?}: needs path= and digest=; mtime= is in nanoseconds, filemode= is octal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read() {
        let input = |path: &str, mtime_ns, mode| VirtualInput {
            path: path.into(),
            digest: "ab/3".to_owned(),
            mtime_ns,
            mode,
        };
        assert_eq!(parse(""), Ok(vec![]));
        assert_eq!(
            parse(
                "path=a,digest=ab/3;;digest=ab/3,path=b,mtime=5,filemode=755,colour=red;path=c,digest=ab/3,mtime=,filemode="
            ),
            Ok(vec![
                input("a", None, None),
                input("b", Some(5), Some(0o755)),
                input("c", None, None)
            ])
        );
        for wrong in [
            "path=a",
            "digest=ab/3",
            "path=a,digest=ab/3,mtime=x",
            "path=a,digest=ab/3,filemode=9",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
