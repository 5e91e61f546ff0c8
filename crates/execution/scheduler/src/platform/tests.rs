use super::*;

fn platform(properties: &[(&str, &str)]) -> Platform {
    Platform::new(owned(properties)).unwrap()
}

fn offer(properties: &[(&str, &str)]) -> Offer {
    Offer::new(owned(properties), [], 100)
}

fn owned(properties: &[(&str, &str)]) -> Vec<(String, String)> {
    properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn explain(demands: &[(&str, &str)], offers: &[(&str, Offer)]) -> String {
    explain_unmatched(
        &platform(demands),
        offers.iter().map(|(name, offer)| (*name, offer)),
    )
}

#[test]
fn every_demanded_value_must_be_announced_exactly() {
    let offer = offer(&[("OSFamily", "linux"), ("ISA", "x86-64"), ("ISA", "avx2")]);
    for met in [
        &[][..],
        &[("OSFamily", "linux")],
        &[("ISA", "avx2"), ("ISA", "x86-64")],
    ] {
        assert!(offer.meets(&platform(met)), "{met:?}");
    }
    for unmet in [
        &[("OSFamily", "Linux")][..],
        &[("osfamily", "linux")],
        &[("ISA", "avx2"), ("ISA", "avx512")],
    ] {
        assert!(!offer.meets(&platform(unmet)), "{unmet:?}");
    }
    assert!(Offer::default().meets(&Platform::default()));
}

#[test]
fn properties_beyond_the_bound_are_not_used() {
    let offer = Offer::new(owned(&[("a", "1"), ("b", "2")]), [], 1);
    assert_eq!(offer.iter().collect::<Vec<_>>(), [("a", "1")]);
}

#[test]
fn the_message_names_the_value_nobody_offers_and_the_nearest_worker() {
    let far = offer(&[("OSFamily", "darwin")]);
    let near = offer(&[("OSFamily", "linux"), ("ISA", "x86-64")]);
    let message = explain(
        &[("OSFamily", "windows"), ("ISA", "x86-64")],
        &[("far", far), ("near", near)],
    );
    assert_eq!(
        message,
        "no worker can run this action: none offers OSFamily=windows, only darwin, linux; the nearest worker, \
         `near`, lacks OSFamily=windows; change the action's platform properties or start a worker that offers them"
    );
}

#[test]
fn the_message_says_when_a_name_is_unknown_or_only_the_combination_is() {
    let linux = offer(&[("OSFamily", "linux")]);
    let gpu = offer(&[("gpu", "yes")]);
    let unknown = explain(&[("pool", "big")], &[("a", linux.clone())]);
    assert!(
        unknown.contains("none offers pool=big, nor any other value of `pool`"),
        "{unknown}"
    );
    let both = explain(
        &[("OSFamily", "linux"), ("gpu", "yes")],
        &[("b", gpu), ("a", linux)],
    );
    assert!(
        both.contains("each of its properties is on offer, but not all on one worker"),
        "{both}"
    );
    assert!(both.contains("nearest worker, `a`, lacks gpu=yes"), "{both}");
    assert!(explain(&[("a", "b")], &[]).contains("no worker is connected"));
}

#[test]
fn the_message_stays_short_whatever_is_demanded_and_offered() {
    let long = "x".repeat(10_000);
    let many: Vec<(String, String)> = (0..500)
        .map(|i| ("ISA".to_owned(), format!("{i}{long}")))
        .collect();
    let offer = Offer::new(many.clone(), [], 1_000);
    let demands = Platform::new(
        many.into_iter()
            .map(|(_, value)| ("ISA".to_owned(), format!("no{value}"))),
    )
    .unwrap();
    let message = explain_unmatched(&demands, [(long.as_str(), &offer)].into_iter());
    assert!(message.len() < 3_000, "{} bytes", message.len());
    assert!(
        message.contains("and 492 more") && message.contains("and 496 more"),
        "{message}"
    );
}

#[test]
fn an_image_by_its_digest_is_met_by_who_has_images() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let by_name = format!("docker://registry.example/tools@{digest}");
    let has_images = offer(&[("container-image", "*")]);
    let is_one = offer(&[("container-image", "docker://tools:1")]);
    for (value, any, one) in [
        (digest.as_str(), true, false),
        (&by_name, true, false),
        ("docker://tools:1", false, true),
        ("docker://tools:2", false, false),
    ] {
        let demand = platform(&[("container-image", value)]);
        assert_eq!(
            (has_images.meets(&demand), is_one.meets(&demand)),
            (any, one),
            "{value}"
        );
        assert!(!offer(&[]).meets(&demand), "{value}");
    }
    // Another property is not met by a star.
    assert!(!offer(&[("other", "*")]).meets(&platform(&[("other", &digest)])));
    let message = explain(
        &[("container-image", "docker://tools:2")],
        &[("near", has_images)],
    );
    assert!(message.contains("farrier image load"), "{message}");
}

#[test]
fn an_input_root_is_anywhere_for_who_has_mounts_of_its_own() {
    let asked = platform(&[("InputRootAbsolutePath", "/home/ann/project")]);
    let can = offer(&[("InputRootAbsolutePath", "*")]);
    let is_there = offer(&[("InputRootAbsolutePath", "/home/ann/project")]);
    assert!(can.meets(&asked) && is_there.meets(&asked));
    assert!(!offer(&[]).meets(&asked) && !offer(&[("InputRootAbsolutePath", "/src")]).meets(&asked));
    let message = explain(
        &[("InputRootAbsolutePath", "/home/ann/project")],
        &[("near", offer(&[]))],
    );
    assert!(
        message.contains("none offers InputRootAbsolutePath=/home/ann/project"),
        "{message}"
    );
}

#[test]
fn wishes_are_met_by_everyone() {
    let wish = [
        ("persistentWorkerKey", "abc"),
        ("persistentWorkerProtocol", "json"),
        ("persistentWorkerMultiplex", "true"),
    ];
    assert!(offer(&[]).meets(&platform(&wish)));
    assert!(!offer(&[]).meets(&platform(&[wish[0], ("OSFamily", "linux")])));
    assert!(offer(&[]).meets(&platform(&[("unixUID", "0"), ("unixGID", "7")])));
    assert!(offer(&[]).meets(&platform(&[("lazy-inputs", "true"), ("observe-inputs", "true")])));
    assert!(offer(&[("persistentWorkerKey", "other")]).meets(&platform(&wish[..1])));
}
