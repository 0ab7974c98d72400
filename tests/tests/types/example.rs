//! The page of the example notifications, which is checked against its own map.

use std::path::Path;

use super::Workshop;

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/notifications/web");

#[test]
fn a_page_in_javascript_compiles_until_a_variant_or_a_field_is_renamed() {
    let Some(workshop) = Workshop::open() else { return };
    let read = |name| std::fs::read_to_string(Path::new(WEB).join(name)).unwrap();
    let topics = read("topics.ts");
    workshop.write(
        "tsconfig.json",
        &format!(r#"{{ "extends": "{WEB}/tsconfig.json", "include": ["./*"] }}"#),
    );
    for name in ["page.js", "tidings.d.ts"] {
        workshop.write(name, &read(name));
    }
    workshop.write("topics.ts", &topics);
    assert_eq!(workshop.tsc(), "");

    for (old, new, mistake) in [
        ("\"notification\": {", "\"notice\": {", "'notification' does not exist in type"),
        ("\"read\":", "\"seen\":", "'read' does not exist in type"),
        ("from: string", "by: string", "Property 'from' does not exist on type"),
    ] {
        let changed = topics.replace(old, new);
        assert_ne!(changed, topics, "{old}");
        workshop.write("topics.ts", &changed);
        let said = workshop.tsc();
        assert!(said.contains("page.js(") && said.contains(mistake), "{new}: {said}");
    }
}
