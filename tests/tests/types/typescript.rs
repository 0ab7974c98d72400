//! The map of topics, and the front-end that is compiled against it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use tidings::error::TypesErrorKind;
use tidings::ts::TopicTypes;
use tidings::{Message, STATUS_EVENT};
use tidings_tests::document;
use ts_rs::TS;

use super::{FOLDER, Workshop, events, received};

const TOPICS: &str = include_str!("../../types/topics.ts");
const FRONT_END: &str = include_str!("../../types/front_end.ts");

/// The lines of the front-end, by their numbers, that have `text`.
fn lines_with(text: &str) -> Vec<usize> {
    let lines = FRONT_END.lines().enumerate();
    lines.filter(|(_, line)| line.contains(text)).map(|(n, _)| n + 1).collect()
}

/// Where tsc found mistakes in the front-end: the lines, and the numbers of the errors.
fn mistakes(said: &str) -> Vec<(usize, String)> {
    let lines = said.lines().filter_map(|line| {
        let (at, error) = line.strip_prefix("front_end.ts(")?.split_once("): error ")?;
        let (line, _) = at.split_once(',')?;
        Some((line.parse().unwrap(), error.split(':').next()?.to_owned()))
    });
    lines.collect()
}

#[test]
fn the_committed_map_is_what_the_enums_give() {
    let path = format!("{FOLDER}/topics.ts");
    let types = events::types().unwrap();
    if document::is_written() {
        types.write(&path).unwrap();
    }
    if let Err(error) = types.check(&path) {
        panic!("{error}: run this test with TIDINGS_WRITE_DOCS=1");
    }
}

#[test]
fn the_map_in_the_guide_is_what_its_enums_give() {
    #[derive(Serialize, TS)]
    #[allow(dead_code, reason = "only its types are read")]
    struct Order {
        number: u32,
        note: Option<String>,
    }

    #[derive(Serialize, TS)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its types are read")]
    enum OrderEvent {
        Created(Order),
        Shipped { number: u32 },
        AllClosed,
    }

    #[derive(Serialize, TS)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its types are read")]
    enum RoomEvent {
        Said { by: String, text: String },
    }

    let page = include_str!("../../../docs/guide/typed-events.md");
    let types = TopicTypes::new().topic::<OrderEvent>("orders").unwrap();
    let types = types.topic::<RoomEvent>("room:*").unwrap();
    assert!(page.contains(&format!("```ts\n{types}```\n")), "{types}");
}

#[test]
fn a_front_end_compiles_until_a_variant_is_renamed() {
    let Some(workshop) = Workshop::open() else { return };
    workshop.write("front_end.ts", FRONT_END);
    workshop.write("topics.ts", TOPICS);
    assert_eq!(workshop.tsc(), "");

    // The same application, after a change of one enum.
    #[derive(Serialize, TS)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its types are read")]
    enum RoomEvent {
        Spoken { by: String, text: String },
        JoinedBy(events::Member),
        Closed,
    }
    let changed = TopicTypes::new()
        .topic::<events::OrderEvent>("orders")
        .and_then(|types| types.topic::<RoomEvent>("room:*"))
        .and_then(|types| types.topic::<events::PriceEvent>("prices"))
        .unwrap();
    workshop.write("topics.ts", &changed.to_string());
    let said = workshop.tsc();
    let found: Vec<_> = mistakes(&said);
    // Everywhere that the front-end names the event; and what is read of its data is of no type any more.
    let named = lines_with(".on(\"said\"");
    assert!(named.len() >= 3);
    for line in &named {
        assert!(found.contains(&(*line, "TS2345".to_owned())), "line {line} in {said}");
    }
    let all = lines_with("\"said\"");
    assert!(found.iter().all(|(line, _)| all.contains(line)), "{said}");
    assert!(said.contains("'\"said\"' is not assignable"), "{said}");
}

#[test]
fn a_renamed_field_or_topic_is_a_mistake_where_it_is_used() {
    let Some(workshop) = Workshop::open() else { return };
    workshop.write("front_end.ts", FRONT_END);
    for (old, new, used, error) in [
        ("pair: string, price: number", "pair: string, amount: number", "price: (all,", "TS2339"),
        ("\"moved\": [number, string]", "\"moved\": [string, number]", ".on(\"moved\"", "TS2339"),
        ("  \"prices\": {", "  \"price\": {", "subscribe(\"prices\")", "TS2345"),
        ("  \"room:*\": {", "  \"rooms:*\": {", "subscribe(\"room:*\")", "TS2345"),
        ("    \"all_closed\": undefined;\n", "", ".on(\"all_closed\"", "TS2345"),
        ("    \"emptied\":", "    \"new_one\": number;\n    \"emptied\":", "handlers:", "TS2741"),
    ] {
        let changed = TOPICS.replace(old, new);
        assert_ne!(changed, TOPICS, "{old}");
        workshop.write("topics.ts", &changed);
        let said = workshop.tsc();
        let line = lines_with(used)[0];
        assert!(mistakes(&said).contains(&(line, error.to_owned())), "{old}, line {line}: {said}");
    }
}

#[test]
fn an_editor_completes_the_names_of_events_and_topics() {
    let Some(workshop) = Workshop::open() else { return };
    workshop.write("topics.ts", TOPICS);
    for (code, names) in [
        (
            "subscribe(\"orders\").on(\"|\"",
            "all_closed changed counted created emptied moved noted order.returned shipped tidings:end tidings:status",
        ),
        ("subscribe(\"prices\").on(\"|\"", "delisted price tidings:end tidings:status"),
        ("subscribe(\"|\"", "orders prices"),
        (
            "useTidings(url(\"prices\"), { initial: 0, on: { | } })",
            "delisted price tidings:end tidings:status",
        ),
    ] {
        let begin = "import { topics } from \"tidings-client\";\nimport { useTidings } from \"tidings-client/react\";\n\
                     import type { Topics } from \"./topics\";\nconst { url, subscribe } = topics<Topics>(\"/events\");\nvoid useTidings;\n";
        workshop.write("typing.ts", &format!("{begin}{code}"));
        let (succeeds, said) = workshop.run(&format!("{FOLDER}/completions.mjs"), &["typing.ts"]);
        assert!(succeeds, "{said}");
        assert_eq!(said.trim(), names, "{code}");
    }
}

/// An event's data as an expression of TypeScript: what the client makes of it.
fn expression(message: &Message) -> &str {
    // The client's `json`.
    if message.data().is_empty() { "undefined" } else { message.data() }
}

#[test]
fn what_the_map_says_is_what_a_client_gets() {
    let Some(workshop) = Workshop::open() else { return };
    workshop.write("topics.ts", TOPICS);
    let mut text = String::from("import type { TopicEvents, Topics } from \"./all\";\n");
    workshop.write(
        "all.ts",
        "export type { TopicEvents } from \"tidings-client\";\nexport type { Topics } from \"./topics\";\n",
    );
    let mut count = 0;
    for (topic, events) in events::published().unwrap() {
        let published = events.len();
        let messages = received(topic, events);
        let (status, messages) = messages.split_first().unwrap();
        assert_eq!(status.event(), STATUS_EVENT);
        let all: BTreeMap<_, _> = messages.iter().map(|message| (message.event(), true)).collect();
        // Of current values, the newest of each key and what has removed others.
        assert_eq!(messages.len(), if topic == "prices" { 2 } else { published });
        let events = format!("TopicEvents<Topics, \"{topic}\">");
        let names = serde_json::to_string(&all).unwrap();
        writeln!(
            text,
            "export const names{count}: {{ [Name in keyof {events}]: true }} = {names};"
        )
        .unwrap();
        for message in messages {
            count += 1;
            let (name, data) = (message.event(), expression(message));
            writeln!(text, "export const m{count}: {events}[\"{name}\"] = {data};").unwrap();
        }
    }
    workshop.write("values.ts", &text);
    assert_eq!(workshop.tsc(), "");
    assert!(count >= 20);

    // Values that are something else are mistakes, each on a line.
    let mut text = String::from("import type { TopicEvents, Topics } from \"./all\";\n");
    let mut wrong = 0;
    for (topic, events) in events::published().unwrap() {
        for message in received(topic, events).iter().skip(1) {
            wrong += 1;
            let (name, data) = (message.event(), expression(message));
            let other = match data {
                // A map of numbers takes any key.
                _ if name == "counted" => "{ tea: \"3\" }".to_owned(),
                "undefined" => "{}".to_owned(),
                "{}" => "7".to_owned(),
                _ if data.starts_with('{') => data.replacen('{', "{\"unexpected\":1,", 1),
                _ => "undefined".to_owned(),
            };
            let events = format!("TopicEvents<Topics, \"{topic}\">");
            writeln!(text, "export const m{wrong}: {events}[\"{name}\"] = {other};").unwrap();
        }
    }
    assert_eq!(wrong, count);
    workshop.write("values.ts", &text);
    let said = workshop.tsc();
    for line in 2..count + 2 {
        let mistake = format!("values.ts({line},");
        assert!(said.contains(&mistake), "{:?}: {said}", text.lines().nth(line - 1));
    }
}

#[test]
fn types_of_the_same_name_are_a_conflict() {
    mod other {
        #[derive(serde::Serialize, ts_rs::TS)]
        pub(super) struct Order {
            different: u8,
        }
    }

    #[derive(Serialize, TS)]
    #[allow(dead_code, reason = "only its types are read")]
    enum OtherEvent {
        Created(other::Order),
    }

    #[derive(Serialize, TS)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its types are read")]
    enum SameName {
        Created { different: u8 },
        Unknown,
    }

    let error = events::types().unwrap().topic::<OtherEvent>("other").unwrap_err();
    assert_eq!(error.kind(), TypesErrorKind::Conflict);
    assert_eq!(error.to_string(), "type Order has two different types");
    let error = events::types().unwrap().topic::<SameName>("orders").unwrap_err();
    assert_eq!(error.to_string(), "event \"created\" of topic \"orders\" has two different types");
    let error = TopicTypes::new().topic::<SameName>("two words").unwrap_err();
    assert_eq!(error.to_string(), "topic pattern contains ' ' at byte 3");
    #[derive(Serialize, TS)]
    #[allow(dead_code, reason = "only its types are read")]
    struct Topics {
        number: u8,
        more: Vec<Topics>,
    }

    #[derive(Serialize, TS)]
    #[allow(dead_code, reason = "only its types are read")]
    enum WithTopics {
        All(Topics),
    }

    let error = TopicTypes::new().topic::<WithTopics>("x").unwrap_err();
    assert_eq!(error.to_string(), "type Topics has two different types");
    // Of a topic, several enums are one map.
    let both = TopicTypes::new().topic::<events::PriceEvent>("x").unwrap();
    let both = both.topic::<events::PriceEvent>("x").unwrap().topic::<SameName>("x").unwrap();
    let both = both.to_string();
    assert!(["price", "delisted", "created", "unknown"].iter().all(|name| both.contains(name)));
}

#[test]
fn a_file_that_is_not_up_to_date_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("topics.ts");
    let types = events::types().unwrap();
    assert_eq!(types.check(&path).unwrap_err().kind(), TypesErrorKind::File);
    types.write(&path).unwrap();
    types.check(&path).unwrap();
    // As git writes files on Windows.
    std::fs::write(&path, types.to_string().replace('\n', "\r\n")).unwrap();
    types.check(&path).unwrap();
    std::fs::write(&path, types.to_string().replace("created", "placed")).unwrap();
    let error = types.check(&path).unwrap_err();
    assert_eq!(error.kind(), TypesErrorKind::OutOfDate);
    types.write(&path).unwrap();
    types.check(&path).unwrap();
}
