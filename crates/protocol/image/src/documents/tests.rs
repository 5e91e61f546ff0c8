use serde_json::json;

use super::*;

fn descriptor(content: &str) -> Value {
    json!({"mediaType": "x", "digest": ContentDigest::of(content.as_bytes()).to_string(), "size": content.len()})
}

fn for_platform(content: &str, os: &str, architecture: &str) -> Value {
    let mut descriptor = descriptor(content);
    descriptor["platform"] = json!({"os": os, "architecture": architecture});
    descriptor
}

fn index(manifests: &[Value]) -> Vec<Descriptor> {
    let text = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    match Document::parse(text.as_bytes()).unwrap() {
        Document::Index(descriptors) => descriptors,
        other => panic!("{other:?}"),
    }
}

fn amd64() -> Platform {
    Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
    }
}

#[test]
fn a_manifest_has_its_layers_in_order() {
    let text = json!({"schemaVersion": 2, "config": descriptor("c"), "layers": [descriptor("one"), descriptor("three")]});
    let Document::Manifest(manifest) = Document::parse(text.to_string().as_bytes()).unwrap() else {
        panic!("a manifest");
    };
    let sizes: Vec<u64> = manifest.layers.iter().map(|layer| layer.size_bytes).collect();
    assert_eq!((manifest.config.size_bytes, sizes), (1, vec![3, 5]));
}

#[test]
fn the_image_for_a_platform_is_chosen_and_never_another() {
    let chosen = |manifests: &[Value]| {
        let descriptors = index(manifests);
        Document::choose(&descriptors, &amd64())
            .map(|found| found.size_bytes)
            .map_err(|error| error.to_string())
    };
    let (arm, x86) = (
        for_platform("4444", "linux", "arm64"),
        for_platform("22", "linux", "amd64"),
    );
    let attestation = for_platform("1", "unknown", "unknown");
    assert_eq!(chosen(&[arm.clone(), x86.clone(), attestation.clone()]), Ok(2));
    assert_eq!(chosen(&[descriptor("333")]), Ok(3));
    assert_eq!(chosen(&[descriptor("333"), attestation]), Ok(3));
    let error = chosen(std::slice::from_ref(&arm)).unwrap_err();
    assert!(
        error.contains("no image for linux/amd64") && error.contains("linux/arm64"),
        "{error}"
    );
    assert!(chosen(&[descriptor("1"), descriptor("2")]).is_err());
    assert!(chosen(&[]).is_err());
}

#[test]
fn an_environment_is_read() {
    let parse = |env: Value| Config::parse(json!({"config": {"Env": env}}).to_string().as_bytes());
    let environment = parse(json!(["PATH=/bin", "A=1", "=x", "EMPTY", "A=2=3"]))
        .unwrap()
        .environment;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        environment,
        [pair("PATH", "/bin"), pair("EMPTY", ""), pair("A", "2=3")]
    );
    assert_eq!(parse(Value::Null).unwrap(), Config::default());
    assert_eq!(Config::parse(b"{}").unwrap(), Config::default());
    assert!(parse(json!([1])).is_err());
}

#[test]
fn what_docker_saves() {
    let text = json!([{"Config": "abc.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}])
        .to_string();
    let images = DockerImage::parse(text.as_bytes()).unwrap();
    assert_eq!(
        images,
        [DockerImage {
            config: "abc.json".into(),
            layers: vec!["a/layer.tar".into(), "b/layer.tar".into()]
        }]
    );
    assert!(DockerImage::parse(b"[{}]").is_err() && DockerImage::parse(b"{}").is_err());
}

#[test]
fn what_is_no_document_is_an_error() {
    let layers = vec![descriptor("x"); LAYERS_MAX + 1];
    for text in [
        "".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!({"schemaVersion": 1, "fsLayers": []}).to_string(),
        json!({"layers": [], "config": {"digest": "sha256:../..", "size": 1}}).to_string(),
        json!({"layers": [], "config": {"digest": ContentDigest::of(b"").to_string(), "size": -1}})
            .to_string(),
        json!({"layers": layers, "config": descriptor("x")}).to_string(),
    ] {
        assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
    }
}
