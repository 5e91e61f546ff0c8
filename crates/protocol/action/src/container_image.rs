//! The platform property that names a root file system, and where its tree is found.

use reapi::execution as proto;

use blob::{Digest, DigestFunction};
use prost::Message;

use crate::action_digest::ActionDigest;

/// An image by its digest. Names and tags say nothing about content, so they are taken and not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerImage {
    digest: String,
}

/// The action that stands for an image: its result is the image's file system, as if somebody had run it.
pub struct ImageAction {
    /// What the result is found by.
    pub digest: ActionDigest,
    /// The blobs that a server wants to see before it takes a result: the action, its command, its input root.
    pub blobs: [Vec<u8>; 3],
}

/// No command of this name can ever run, so that no result for it comes from anybody but whoever may write results.
const PROGRAM: &str = "/dev/null/container-image";

impl ContainerImage {
    /// The platform property.
    pub const PROPERTY: &'static str = "container-image";
    /// What a worker announces that can run an action in any image.
    pub const ANY: &'static str = "*";
    /// The output directory of the result that is the file system.
    pub const ROOT: &'static str = "root";
    /// The output file of the result that is the image's configuration.
    pub const CONFIG: &'static str = "config.json";

    /// Reads the property's value: `sha256:HEX`, `NAME@sha256:HEX` or either after `docker://`. `None` if it names no
    /// content.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.strip_prefix("docker://").unwrap_or(value);
        let digest = value.rsplit_once('@').map_or(value, |(_, digest)| digest);
        let (function, hex) = digest.split_once(':')?;
        let length = match function {
            "sha256" => 64,
            "sha512" => 128,
            _ => return None,
        };
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (hex.len() == length && is_hex).then(|| ContainerImage {
            digest: digest.to_owned(),
        })
    }

    /// `sha256:HEX`.
    pub fn as_str(&self) -> &str {
        &self.digest
    }

    /// The action that stands for it, for clients whose digests are of `function`.
    pub fn action(&self, function: DigestFunction) -> ImageAction {
        let command = proto::Command {
            arguments: vec![PROGRAM.to_owned(), self.digest.clone()],
            output_paths: vec![Self::CONFIG.to_owned(), Self::ROOT.to_owned()],
            ..proto::Command::default()
        }
        .encode_to_vec();
        let input_root = proto::Directory::default().encode_to_vec();
        let action = proto::Action {
            command_digest: Some(Digest::of(function, &command).to_proto()),
            input_root_digest: Some(Digest::of(function, &input_root).to_proto()),
            ..proto::Action::default()
        };
        ImageAction {
            digest: ActionDigest::of(function, &action),
            blobs: [action.encode_to_vec(), command, input_root],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_content_is_an_image() {
        let hex = "0123456789abcdef".repeat(4);
        let digest = format!("sha256:{hex}");
        for value in [
            digest.clone(),
            format!("docker://{digest}"),
            format!("docker://registry.example:5000/some/image@{digest}"),
            format!("docker://image:tag@{digest}"),
            format!("image@{digest}"),
        ] {
            let image = ContainerImage::parse(&value);
            assert_eq!(
                image.as_ref().map(ContainerImage::as_str),
                Some(digest.as_str()),
                "{value}"
            );
        }
        for value in [
            "",
            "*",
            "docker://image",
            "docker://image:latest",
            "none",
            "sha256:",
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("{digest}@image"),
            &format!("md5:{}", &hex[..32]),
        ] {
            assert_eq!(ContainerImage::parse(value), None, "{value}");
        }
    }

    #[test]
    fn each_image_has_an_action_of_its_own_that_is_what_it_says() {
        let action = |digit: &str, function| {
            ContainerImage::parse(&format!("sha256:{}", digit.repeat(64)))
                .unwrap()
                .action(function)
        };
        let one = action("1", DigestFunction::Sha256);
        assert_eq!(
            one.digest.digest(),
            Digest::of(DigestFunction::Sha256, &one.blobs[0])
        );
        assert_eq!(one.digest, action("1", DigestFunction::Sha256).digest);
        assert_ne!(one.digest, action("2", DigestFunction::Sha256).digest);
        assert_ne!(one.digest, action("1", DigestFunction::Blake3).digest);
        let read = proto::Action::decode(&one.blobs[0][..]).unwrap();
        let command = Digest::of(DigestFunction::Sha256, &one.blobs[1]);
        assert_eq!(read.command_digest, Some(command.to_proto()));
    }
}
