//! Enums as events, and back, for each of serde's taggings.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidings::error::{EventErrorKind, MessageErrorKind};
use tidings::{Decoder, Event, Message};

fn message(event: &Event) -> Message {
    let mut decoder = Decoder::new();
    decoder.feed(&event.encode()).unwrap();
    decoder.next_message().expect("clients dispatch it")
}

/// The event's name and data; what a client reads is the value again.
#[track_caller]
fn sent<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> (String, String) {
    let message = message(&Event::typed(value).unwrap());
    assert!(!message.data().contains('\n'), "one line: {:?}", message.data());
    assert_eq!(message.typed::<T>().unwrap(), *value);
    (message.event().to_owned(), message.into_data())
}

#[track_caller]
fn assert_sent<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    value: &T,
    name: &str,
    data: &str,
) {
    assert_eq!(sent(value), (name.to_owned(), data.to_owned()));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    kind: String,
    number: Option<i64>,
    notes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Low,
    High { above: u8 },
}

/// The variants that all taggings have.
macro_rules! tagged_enum {
    ($(#[$attribute:meta])* $name:ident { $($more:tt)* }) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        $(#[$attribute])*
        enum $name {
            AllClosed,
            #[serde(rename = "order.created")]
            Created(Order),
            Moved { from: String, to: Vec<u8> },
            Nothing {},
            Level(Level),
            Notes(BTreeMap<String, i32>),
            Unit(()),
            $($more)*
        }

        impl $name {
            fn any() -> impl Strategy<Value = Self> {
                let notes = proptest::collection::btree_map(".*", ".*", 0..3);
                let order = (".*", any::<Option<i64>>(), notes)
                    .prop_map(|(kind, number, notes)| Order { kind, number, notes });
                let level = prop_oneof![
                    Just(Level::Low),
                    any::<u8>().prop_map(|above| Level::High { above }),
                ];
                prop_oneof![
                    Just(Self::AllClosed),
                    order.prop_map(Self::Created),
                    (".*", any::<Vec<u8>>()).prop_map(|(from, to)| Self::Moved { from, to }),
                    Just(Self::Nothing {}),
                    level.prop_map(Self::Level),
                    proptest::collection::btree_map(".*", any::<i32>(), 0..3).prop_map(Self::Notes),
                    Just(Self::Unit(())),
                ]
            }
        }
    };
}

tagged_enum!(External {
    Pair(i8, String),
    Text(String),
    Maybe(Option<String>),
});
tagged_enum!(
    #[serde(tag = "type")]
    Internal {}
);
tagged_enum!(
    #[serde(tag = "t", content = "c")]
    Adjacent {
        Pair(i8, String),
        Text(String),
        Maybe(Option<String>),
    }
);

proptest! {
    #[test]
    fn a_message_is_the_value_that_was_sent(
        external in External::any(),
        internal in Internal::any(),
        adjacent in Adjacent::any(),
        (number, text, maybe) in any::<(i8, String, Option<String>)>(),
    ) {
        sent(&external);
        sent(&internal);
        sent(&adjacent);
        let pair = (number, text.clone());
        sent(&External::Pair(pair.0, pair.1.clone()));
        sent(&Adjacent::Pair(pair.0, pair.1));
        sent(&External::Text(text.clone()));
        sent(&Adjacent::Text(text));
        sent(&External::Maybe(maybe.clone()));
        sent(&Adjacent::Maybe(maybe));
    }

    #[test]
    fn the_tagging_makes_no_difference_to_clients(
        order in External::any(),
    ) {
        // External tagging in JSON: a name, or an object with one.
        let json = serde_json::to_value(&order).unwrap();
        let (name, content) = match &json {
            serde_json::Value::String(name) => (name.clone(), None),
            serde_json::Value::Object(object) => {
                let (name, content) = object.iter().next().unwrap();
                (name.clone(), Some(content.clone()))
            }
            _ => unreachable!(),
        };
        let mut adjacent = serde_json::json!({ "t": name });
        if let Some(content) = content {
            adjacent["c"] = content;
        }
        let adjacent: Adjacent = serde_json::from_value(adjacent).unwrap();
        prop_assert_eq!(sent(&order), sent(&adjacent));
    }
}

#[test]
fn the_name_is_the_variants_and_the_data_is_what_it_holds() {
    let order = || Order { kind: "a\nb".into(), number: None, notes: BTreeMap::new() };
    let json = r#"{"kind":"a\nb","number":null,"notes":{}}"#;
    assert_sent(&External::AllClosed, "all_closed", "");
    assert_sent(&External::Created(order()), "order.created", json);
    assert_sent(&External::Pair(1, "x".into()), "pair", r#"[1,"x"]"#);
    assert_sent(&External::Text(String::new()), "text", r#""""#);
    assert_sent(&External::Maybe(None), "maybe", "null");
    assert_sent(&External::Nothing {}, "nothing", "{}");
    let moved = External::Moved { from: "a".into(), to: vec![1] };
    assert_sent(&moved, "moved", r#"{"from":"a","to":[1]}"#);

    assert_sent(&Internal::AllClosed, "all_closed", "");
    assert_sent(&Internal::Created(order()), "order.created", json);
    let moved = Internal::Moved { from: "a".into(), to: vec![1] };
    assert_sent(&moved, "moved", r#"{"from":"a","to":[1]}"#);
    assert_sent(&Internal::Nothing {}, "nothing", "");
    assert_sent(&Internal::Level(Level::High { above: 3 }), "level", r#"{"high":{"above":3}}"#);
    assert_sent(&Internal::Level(Level::Low), "level", r#"{"low":null}"#);

    assert_sent(&Adjacent::AllClosed, "all_closed", "");
    assert_sent(&Adjacent::Created(order()), "order.created", json);
    assert_sent(&Adjacent::Nothing {}, "nothing", "{}");
}

#[test]
fn less_common_shapes_are_sent_and_read() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Transparent(External);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newtype(Internal);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all_fields = "camelCase")]
    enum Flat {
        Some {
            in_order: u8,
            #[serde(skip_serializing_if = "Option::is_none", default)]
            left_out: Option<u8>,
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        },
        Nested(Internal),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "another name", tag = "t", content = "c", deny_unknown_fields)]
    enum Renamed {
        A,
        B(u8),
    }

    assert_sent(&Transparent(External::AllClosed), "all_closed", "");
    assert_sent(&Newtype(Internal::AllClosed), "all_closed", "");
    let rest = BTreeMap::from([("x".to_owned(), 1)]);
    let flat = Flat::Some { in_order: 2, left_out: None, rest };
    assert_sent(&flat, "Some", r#"{"inOrder":2,"x":1}"#);
    assert_sent(&Flat::Nested(Internal::AllClosed), "Nested", r#"{"type":"all_closed"}"#);
    assert_sent(&Renamed::A, "A", "");
    assert_sent(&Renamed::B(7), "B", "7");
    assert_sent(&Box::new(External::AllClosed), "all_closed", "");
}

#[test]
fn what_is_no_tagged_enum_has_no_event_name() {
    #[derive(Serialize, Deserialize)]
    struct Named {
        name: &'static str,
    }

    #[derive(Serialize, Deserialize)]
    struct Owned {
        name: String,
        level: Level,
    }

    #[derive(Serialize, Deserialize)]
    struct Leveled {
        level: Level,
        number: u8,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Unit,
        Text(String),
        Struct { name: String },
    }

    #[track_caller]
    fn refused<T: Serialize + ?Sized>(value: &T, found: &str) {
        let error = Event::typed(value).unwrap_err();
        assert_eq!(error.kind(), EventErrorKind::NotAnEnum);
        let expected =
            format!("event name cannot be taken from {found}: only a tagged enum has one");
        assert_eq!(error.to_string(), expected);
    }

    refused(&Named { name: "x" }, "a struct");
    refused(&Owned { name: "x".into(), level: Level::Low }, "a struct");
    refused(&Leveled { level: Level::Low, number: 1 }, "a struct");
    refused(&Untagged::Unit, "a unit");
    refused(&Untagged::Text("x".into()), "a string");
    refused(&Untagged::Struct { name: "x".into() }, "a struct");
    refused("text", "a string");
    refused(&7, "a number");
    refused(&[1, 2][..], "a sequence");
    refused(&(1, 2), "a tuple");
    refused(&Some(External::AllClosed), "an option");
    refused(&BTreeMap::from([("type", "x")]), "a map");
    refused(&BTreeMap::<u8, u8>::new(), "a map");

    #[track_caller]
    fn unread<'a, T: Deserialize<'a>>(message: &'a Message) {
        let error = message.typed::<T>().err().unwrap();
        assert_eq!(error.kind(), MessageErrorKind::NotAnEnum, "{error}");
    }

    let message = message(&Event::named("all_closed", "{}").unwrap());
    unread::<Owned>(&message);
    unread::<Untagged>(&message);
    unread::<String>(&message);
    unread::<u8>(&message);
    unread::<Vec<u8>>(&message);
    unread::<Option<External>>(&message);
    unread::<BTreeMap<String, u8>>(&message);
    unread::<serde_json::Value>(&message);
}

#[test]
fn a_name_that_no_event_can_have_is_an_error() {
    #[derive(Serialize)]
    enum Bad {
        #[serde(rename = "a\nb")]
        Broken,
        #[serde(rename = "")]
        Empty,
        Map(BTreeMap<[u8; 2], u8>),
    }

    let error = Event::typed(&Bad::Broken).unwrap_err();
    assert_eq!(error.to_string(), "event name contains '\\n' at byte 1");
    assert_eq!(Event::typed(&Bad::Empty).unwrap_err().kind(), EventErrorKind::Field);
    let error = Event::typed(&Bad::Map(BTreeMap::from([([1, 2], 3)]))).unwrap_err();
    assert_eq!(error.kind(), EventErrorKind::Json);
    assert_eq!(error.to_string(), "data cannot be written as JSON: key must be a string");
}

#[test]
fn an_unknown_event_is_named_by_the_error() {
    #[track_caller]
    fn unknown<T: DeserializeOwned + Debug>(data: &str) {
        let message = message(&Event::named("closed\0", data).unwrap());
        let error = message.typed::<T>().unwrap_err();
        assert_eq!(error.kind(), MessageErrorKind::UnknownEvent);
        let expected = "event name \"closed\\0\" is not one of the enum's: \"all_closed\", ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    for data in ["", "{}", r#"{"number":7}"#] {
        unknown::<External>(data);
        unknown::<Internal>(data);
        unknown::<Adjacent>(data);
    }
    // Not the one of an enum in the content.
    let message = message(&Event::named("level", r#""middle""#).unwrap());
    let error = message.typed::<External>().unwrap_err();
    assert_eq!(error.kind(), MessageErrorKind::Json);
    assert!(error.to_string().contains("unknown variant `middle`"), "{error}");
}

#[test]
fn a_variant_for_all_others_takes_every_event() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum External {
        Known(u8),
        #[serde(other)]
        Other,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type")]
    enum Internal {
        Known {
            n: u8,
        },
        #[serde(other)]
        Other,
    }

    let other = message(&Event::named("new", r#"{"n":1}"#).unwrap());
    assert_eq!(other.typed::<External>().unwrap(), External::Other);
    assert_eq!(other.typed::<Internal>().unwrap(), Internal::Other);
    let known = |data| message(&Event::named("Known", data).unwrap());
    assert_eq!(known("1").typed::<External>().unwrap(), External::Known(1));
    assert_eq!(known(r#"{"n":1}"#).typed::<Internal>().unwrap(), Internal::Known { n: 1 });
}

#[test]
fn data_that_is_not_what_the_variant_holds_is_an_error() {
    for data in ["", "[1", r#"{"kind":1}"#, "{}", "7 7"] {
        let message = message(&Event::named("order.created", data).unwrap());
        for error in [
            message.typed::<External>().unwrap_err(),
            message.typed::<Internal>().unwrap_err(),
            message.typed::<Adjacent>().unwrap_err(),
            message.json::<Order>().unwrap_err(),
        ] {
            assert_eq!(error.kind(), MessageErrorKind::Json, "{data:?}");
            assert!(error.to_string().starts_with("data cannot be read as JSON: "), "{error}");
        }
    }
}

#[test]
fn json_is_the_inverse_of_json_and_may_borrow() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Borrowed<'a> {
        name: &'a str,
        #[serde(borrow)]
        text: Cow<'a, str>,
    }

    let value = Borrowed { name: "x", text: "two\nlines".into() };
    let message = message(&Event::json("created", &value).unwrap());
    assert_eq!(message.json::<Borrowed<'_>>().unwrap(), value);
}
