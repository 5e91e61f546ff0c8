//! The JSON of images: indexes, manifests, configurations, and what `docker save` writes.

use serde_json::Value;

use crate::content_digest::ContentDigest;
use crate::error::ImageError;
use crate::limits::{DESCRIPTORS_MAX, DOCUMENT_BYTES_MAX, LAYERS_MAX, VARIABLES_MAX};

/// What a descriptor leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Images for several platforms, or other indexes.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// A reference to a document or a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What names it.
    pub digest: ContentDigest,
    /// How long it is.
    pub size_bytes: u64,
    /// Which machine it is for, if it says.
    pub platform: Option<Platform>,
}

/// A kind of machine, in the words of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// For example `linux`.
    pub os: String,
    /// For example `amd64`.
    pub architecture: String,
}

/// An image: its configuration, and its layers from the lowest to the highest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The configuration.
    pub config: Descriptor,
    /// At most [`LAYERS_MAX`].
    pub layers: Vec<Descriptor>,
}

/// What an image says about running it. Everything else in it is of no use here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Names and values, each name once.
    pub environment: Vec<(String, String)>,
    /// The digests of the layers' tars before they were compressed, from the lowest to the highest.
    pub layers: Vec<ContentDigest>,
}

/// An image as `docker save` writes it: paths in its tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerImage {
    /// Of the configuration.
    pub config: String,
    /// Of the layers, from the lowest to the highest.
    pub layers: Vec<String>,
}

impl Document {
    /// Reads an index or a manifest, of OCI or of Docker's second version.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let json = parse("manifest", bytes)?;
        if json["schemaVersion"] == 1 {
            return Err(document(
                "manifest",
                "it is of Docker's first version, which nobody writes any more",
            ));
        }
        if let Some(manifests) = json["manifests"].as_array() {
            if manifests.len() > DESCRIPTORS_MAX {
                return Err(too_many("manifests", DESCRIPTORS_MAX));
            }
            return Ok(Document::Index(
                manifests
                    .iter()
                    .map(|json| Descriptor::of("index", json))
                    .collect::<Result<_, _>>()?,
            ));
        }
        let layers = json["layers"].as_array();
        let layers = layers.ok_or_else(|| document("manifest", "it has neither `layers` nor `manifests`"))?;
        if layers.len() > LAYERS_MAX {
            return Err(too_many("layers", LAYERS_MAX));
        }
        Ok(Document::Manifest(Manifest {
            config: Descriptor::of("manifest", &json["config"])?,
            layers: layers
                .iter()
                .map(|json| Descriptor::of("manifest", json))
                .collect::<Result<_, _>>()?,
        }))
    }

    /// The image of an index for a platform: the first that says so, or the only one there is.
    pub fn choose<'a>(
        descriptors: &'a [Descriptor],
        wanted: &Platform,
    ) -> Result<&'a Descriptor, ImageError> {
        if let Some(found) = descriptors
            .iter()
            .find(|descriptor| descriptor.platform.as_ref() == Some(wanted))
        {
            return Ok(found);
        }
        // Attestations and the like are for a platform that does not exist.
        let is_real = |descriptor: &&Descriptor| {
            descriptor
                .platform
                .as_ref()
                .is_none_or(|platform| platform.os != "unknown")
        };
        let mut real = descriptors.iter().filter(is_real);
        match (real.next(), real.next()) {
            (Some(only), None) if only.platform.is_none() => Ok(only),
            _ => {
                let there: Vec<String> = descriptors
                    .iter()
                    .filter_map(|descriptor| descriptor.platform.as_ref())
                    .take(20)
                    .map(|platform| format!("{}/{}", platform.os, platform.architecture))
                    .collect();
                let reason = format!(
                    "it has no image for {}/{}; there are: {}",
                    wanted.os,
                    wanted.architecture,
                    there.join(", ")
                );
                Err(document("index", reason))
            }
        }
    }
}

impl Descriptor {
    fn of(what: &'static str, json: &Value) -> Result<Self, ImageError> {
        let digest = json["digest"].as_str().and_then(ContentDigest::parse);
        let digest = digest.ok_or_else(|| document(what, "a `digest` is missing or is none"))?;
        let size_bytes = json["size"].as_u64();
        let platform = &json["platform"];
        let text = |name: &str| platform[name].as_str().map(str::to_owned);
        Ok(Descriptor {
            digest,
            size_bytes: size_bytes.ok_or_else(|| document(what, "a `size` is missing or is none"))?,
            platform: text("os")
                .zip(text("architecture"))
                .map(|(os, architecture)| Platform { os, architecture }),
        })
    }
}

impl Config {
    /// Reads a configuration. Variables without a name are left out; the last of two of the same name holds.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let json = parse("configuration", bytes)?;
        let mut environment: Vec<(String, String)> = Vec::new();
        for variable in json["config"]["Env"].as_array().into_iter().flatten() {
            let text = variable.as_str();
            let text = text.ok_or_else(|| document("configuration", "a variable of `Env` is no text"))?;
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            if name.is_empty() || text.contains('\0') {
                continue;
            }
            environment.retain(|(other, _)| other != name);
            environment.push((name.to_owned(), value.to_owned()));
            if environment.len() > VARIABLES_MAX {
                return Err(too_many("variables", VARIABLES_MAX));
            }
        }
        let layers = json["rootfs"]["diff_ids"].as_array();
        let layer = |json: &Value| json.as_str().and_then(ContentDigest::parse);
        let layers: Option<Vec<ContentDigest>> = layers
            .into_iter()
            .flatten()
            .take(LAYERS_MAX + 1)
            .map(layer)
            .collect();
        let layers = layers.ok_or_else(|| document("configuration", "one of `diff_ids` is no digest"))?;
        Ok(Config { environment, layers })
    }
}

impl DockerImage {
    /// Reads the `manifest.json` of `docker save`, which has one entry for each image saved.
    pub fn parse(bytes: &[u8]) -> Result<Vec<Self>, ImageError> {
        let json = parse("manifest.json", bytes)?;
        let images = json
            .as_array()
            .ok_or_else(|| document("manifest.json", "it is no list"))?;
        let wrong = || document("manifest.json", "an image has no `Config` or no `Layers`");
        let image = |json: &Value| {
            let layers = json["Layers"].as_array().ok_or_else(wrong)?;
            if layers.len() > LAYERS_MAX {
                return Err(too_many("layers", LAYERS_MAX));
            }
            let layers = layers
                .iter()
                .map(|layer| layer.as_str().map(str::to_owned).ok_or_else(wrong));
            Ok(DockerImage {
                config: json["Config"].as_str().ok_or_else(wrong)?.to_owned(),
                layers: layers.collect::<Result<_, _>>()?,
            })
        };
        images.iter().take(DESCRIPTORS_MAX).map(image).collect()
    }
}

fn parse(what: &'static str, bytes: &[u8]) -> Result<Value, ImageError> {
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(document(
            what,
            format!("it is larger than the {DOCUMENT_BYTES_MAX} bytes that are taken"),
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| document(what, error.to_string()))
}

fn document(what: &'static str, reason: impl Into<String>) -> ImageError {
    ImageError::Document {
        what,
        reason: reason.into(),
    }
}

fn too_many(what: &'static str, max: usize) -> ImageError {
    ImageError::TooMuch {
        what,
        max: max as u64,
    }
}

#[cfg(test)]
mod tests;
