//! What people read: programs are shown as they are, links lead somewhere, and pages are short. That the code of the pages
//! compiles, and runs where it can, is a doc test of this crate.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings::{Hub, Retention};
use tidings_axum::Limits;
use tidings_tests::document;

#[test]
fn readme_shows_the_smallest_program_and_its_page_as_they_are() {
    for (part, file, language) in [
        ("program", "examples/minimal-axum/src/main.rs", "rust"),
        ("page", "examples/minimal-axum/src/page.html", "html"),
    ] {
        let readme = read("README.md");
        let shown = document::part(&readme, part).expect("the part");
        let file_shown = format!("```{language}\n{}```\n", read(file));
        if document::is_written() {
            std::fs::write(root().join("README.md"), document::put(&readme, part, &file_shown))
                .unwrap();
        } else {
            assert!(shown == file_shown, "README does not show {file} as it is");
        }
    }
    let page = |framework| read(format!("examples/minimal-{framework}/src/page.html"));
    for framework in ["actix-web", "warp"] {
        assert!(page(framework) == page("axum"), "the page of {framework} is another one");
    }
}

#[test]
fn readme_says_what_it_is_in_600_words() {
    let readme = read("README.md");
    let (before_tables, _) = readme.split_once("\n## Crates\n").expect("the tables");
    // Without its programs.
    let prose = before_tables.split("```").step_by(2).collect::<String>();
    let words = prose.split_whitespace().count();
    assert!(words <= 600, "{words} words");
}

#[test]
fn readme_names_the_packages_of_the_examples() {
    let readme = read("README.md");
    let (_, table) = readme.split_once("\n| example | what it shows |\n").expect("the table");
    let mut packages = 0;
    for (name, rest) in table.split("[`").filter_map(|link| link.split_once("`](examples/")) {
        let (folder, _) = rest.split_once(')').expect("the end of a link");
        // What examples share is named by its folder.
        if name != format!("examples/{folder}") {
            let manifest = read(format!("examples/{folder}/Cargo.toml"));
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is no package");
            packages += 1;
        }
    }
    assert!(packages >= 20, "{packages} packages");
}

#[test]
fn pages_of_the_guide_are_short_and_all_are_listed() {
    let index = read("docs/guide/README.md");
    let lib = read("tests/src/lib.rs");
    for page in pages().iter().filter(|page| page.starts_with("docs/guide/")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        if name != "README.md" {
            assert!(index.contains(&format!("({name})")), "{name} is not in the index");
            assert!(lib.contains(&format!("guide/{name}")), "the code of {name} is not tested");
        }
        let words = read(page).split_whitespace().count();
        assert!(words <= 700, "{}: {words} words", page.display());
    }
}

#[test]
fn the_code_of_all_pages_is_tested_unless_they_say_otherwise() {
    // The first shows a program as it is, see above; the other documents its crate.
    const ELSEWHERE: [&str; 2] = ["README.md", "crates/tidings-client/README.md"];
    let lib = read("tests/src/lib.rs");
    for page in pages() {
        let text = read(&page);
        let mut code = text.lines().filter(|line| line.starts_with("```rust"));
        let page = page.to_str().expect("a path in UTF-8");
        let is_tested = ELSEWHERE.contains(&page) || lib.contains(&format!("\"{page}\""));
        assert!(is_tested || code.all(|fence| fence.contains("ignore")), "{page} is not tested");
    }
}

#[test]
fn code_is_tested_as_it_is_shown() {
    let mut hidden = Vec::new();
    for page in pages() {
        for code in read(&page).split("```").skip(1).step_by(2) {
            // Which rustdoc hides, and others show.
            let lines = code.lines().filter(|line| line.trim_start().starts_with("# "));
            if code.starts_with("rust") {
                hidden.extend(lines.map(|line| format!("{}: {line}", page.display())));
            }
        }
    }
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
}

#[test]
fn limits_are_by_default_what_guarantees_says() {
    let guarantees = read("docs/GUARANTEES.md");
    for (row, default) in [
        ("| size of an event", "1 MiB"),
        ("| a topic's history", "1,000 events, 1 MiB, 10 min"),
        ("| all events of a hub", "64 MiB"),
        ("| what stalled clients hold", "64 MiB"),
        ("| the time for a snapshot", "30 s"),
        ("| topics of a subscription", "1,000"),
        ("| patterns of a subscription", "64"),
        ("| to a first request's head", "30 s"),
        ("| size of a head", "64 KiB"),
        ("| idle between requests", "75 s"),
        ("| a request's body", "30 s"),
        ("| handshake of TLS", "10 s"),
        ("| no progress of what is written", "30 s"),
        ("| HTTP/2: open streams", "250"),
        ("| HTTP/2: control frames", "100 each second, 1,000 saved up"),
    ] {
        let line = guarantees.lines().find(|line| line.starts_with(row));
        let cell = line.and_then(|line| line.split(" | ").nth(1));
        assert_eq!(cell, Some(default), "{row}");
    }
    for sentence in [
        "within the log's window (2 minutes unless set)",
        "It is kept for 10 minutes (settable)",
        "The topic has limits, too: 100,000 events, 16 MiB and any age, unless set.",
    ] {
        assert!(guarantees.contains(sentence), "{sentence}");
    }
    let (seconds, mib) = (Duration::from_secs, 1024 * 1024);
    let topic = Retention::default().events(1_000).bytes(mib).age(seconds(600));
    let hub = Hub::builder()
        .max_event_bytes(mib)
        .retention(topic)
        .max_retained_bytes(64 * mib)
        .pinned_limit(64 * mib)
        .snapshot_timeout(seconds(30))
        .topics_per_subscription(1_000)
        .patterns_per_subscription(64)
        .idempotency_window(seconds(120));
    assert_eq!(format!("{:?}", Hub::builder()), format!("{hub:?}"));
    let values = Retention::latest_per_key()
        .events(100_000)
        .bytes(16 * mib)
        .age(Duration::MAX)
        .removals(seconds(600));
    assert_eq!(Retention::latest_per_key(), values);
    let connections = Limits::default()
        .head_timeout(seconds(30))
        .head_size(64 * 1024)
        .idle_timeout(seconds(75))
        .body_timeout(seconds(30))
        .handshake_timeout(seconds(10))
        .write_timeout(seconds(30))
        .h2_streams(250)
        .h2_control_frames(100_u32);
    assert_eq!(Limits::default(), connections);
}

#[test]
fn links_lead_to_files_and_headings() {
    let repository = repository();
    let published = pages();
    let mut wrong = Vec::new();
    for page in &published {
        let text = read(page);
        let is_packaged = page.starts_with("crates");
        for link in links(&text) {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match target.strip_prefix(&repository) {
                Some(path) => {
                    PathBuf::from(path.trim_start_matches("/blob/main/").trim_start_matches('/'))
                }
                None if target.starts_with("http") => continue,
                // The page itself would be somewhere else than its repository.
                None if is_packaged => {
                    wrong.push(format!("{}: {link} is not absolute", page.display()));
                    continue;
                }
                None if target.is_empty() => page.clone(),
                None => normal(&page.parent().expect("a folder").join(target)),
            };
            if !root().join(&target).exists() {
                wrong.push(format!("{}: {link} leads nowhere", page.display()));
            } else if !heading.is_empty() && !headings(&read(&target)).contains(heading) {
                wrong.push(format!("{}: {link} has no such heading", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_published_crate_has_a_readme_and_says_where_it_is_documented() {
    let mut found = 0;
    for folder in entries(&root().join("crates")) {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        if manifest.contains("publish = false") {
            continue;
        }
        found += 1;
        let name = folder.file_name().unwrap().to_str().unwrap();
        for line in [
            "readme = \"README.md\"",
            "repository.workspace = true",
            &format!("documentation = \"https://docs.rs/{name}\""),
            "[package.metadata.docs.rs]\nall-features = true",
        ] {
            assert!(manifest.contains(line), "{name} lacks {line}");
        }
        let readme = std::fs::read_to_string(folder.join("README.md")).expect(name);
        assert!(readme.starts_with(&format!("# {name}\n")), "{name}");
    }
    assert!(found >= 12, "{found} crates");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn repository() -> String {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("repository = \"").expect("the repository");
    rest.split('"').next().expect("its address").to_owned()
}

/// All pages, from the workspace's root.
fn pages() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs"), root().join("docs/guide")];
    folders.extend(entries(&root().join("crates")));
    let mut pages = vec![PathBuf::from("README.md")];
    for folder in folders {
        for path in entries(&folder) {
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(root()).expect("in the workspace").to_owned());
            }
        }
    }
    pages
}

/// Where the links of a page lead to, without those in its code.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|prose| prose.split("](").skip(1));
    targets.filter_map(|rest| rest.split(')').next()).collect()
}

/// The headings of a page, as links name them. A second one of the same name has a number.
fn headings(text: &str) -> BTreeSet<String> {
    let mut seen = HashMap::<String, usize>::new();
    let prose = text.split("```").step_by(2).collect::<String>();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let name: String = heading
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            if *count > 1 { format!("{name}-{}", *count - 1) } else { name }
        })
        .collect()
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn headings_are_named_as_links_name_them() {
    let page = "# A `name`, and more\n```\n# code\n```\n## Twice\n## Twice\n";
    let expected = ["a-name-and-more", "twice", "twice-1"];
    assert_eq!(headings(page), expected.map(str::to_owned).into());
    assert_eq!(links("[a](b.md#c) `x`\n```\n[d](e)\n```\n[f](g)"), ["b.md#c", "g"]);
}
