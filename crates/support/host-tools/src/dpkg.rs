//! What dpkg's list of packages says, without what says nothing about tools.

/// The fields of a package that count, in the order in which they are written down.
const FIELDS: [&str; 4] = ["Package", "Version", "Architecture", "Status"];

/// Of `/var/lib/dpkg/status`: a line for each package, sorted, so that neither the order of installation nor descriptions
/// and the like make a difference. `None` if it lists no package.
pub(crate) fn reduced(status: &[u8]) -> Option<Vec<u8>> {
    let mut packages: Vec<[&[u8]; FIELDS.len()]> = Vec::new();
    let mut package = [&b""[..]; FIELDS.len()];
    for line in status.split(|byte| *byte == b'\n').chain([&b""[..]]) {
        if line.is_empty() {
            if package != [&b""[..]; FIELDS.len()] {
                packages.push(std::mem::take(&mut package));
            }
            continue;
        }
        // Lines that go on with a field begin with a space, thus have no name.
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let Some(at) = FIELDS.iter().position(|field| field.as_bytes() == name) {
            package[at] = value;
        }
    }
    packages.sort_unstable();
    let lines = packages
        .iter()
        .map(|package| [&package.join(&b'\t')[..], b"\n"].concat());
    (!packages.is_empty()).then(|| lines.collect::<Vec<_>>().concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GCC: &str = "Package: gcc-12\nStatus: install ok installed\nPriority: optional\nInstalled-Size: 1\n\
                       Architecture: amd64\nVersion: 12.2.0-14\nDescription: GNU C compiler\n Version: no field\n .\n";
    const LIBC: &str = "Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nStatus: install ok installed\n";

    fn check(status: &str, expected: Option<&str>) {
        let found = reduced(status.as_bytes());
        assert_eq!(
            found.map(|bytes| String::from_utf8(bytes).unwrap()).as_deref(),
            expected
        );
    }

    #[test]
    fn four_fields_of_each_package_in_order() {
        let both =
            "gcc-12\t12.2.0-14\tamd64\tinstall ok installed\nlibc6\t2.36-9\tamd64\tinstall ok installed\n";
        check(&format!("{GCC}\n{LIBC}"), Some(both));
        check(&format!("{LIBC}\n\n\n{GCC}\n"), Some(both));
        check(
            "Package: half\nStatus: install reinstreq half-installed\n",
            Some("half\t\t\tinstall reinstreq half-installed\n"),
        );
    }

    #[test]
    fn what_lists_nothing_is_no_data_base() {
        check("", None);
        check("\n\n", None);
        check("Description: x\n y\nno field\n", None);
    }
}
