//! What is published to every client, in this order.

use serde_json::Value;

/// An event to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its name, if it has one.
    pub event: Option<&'static str>,
    /// Its data.
    pub data: String,
}

/// An event as a client receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name; `message` if it was published without a name.
    pub event: String,
    /// Its data, each line break as LF.
    pub data: String,
    /// Its id.
    pub id: String,
}

impl Seen {
    /// What a client should receive of a letter with this id, according to the standard.
    pub fn of(letter: &Letter, id: &str) -> Self {
        Self {
            event: letter.event.unwrap_or("message").to_owned(),
            // HTML, section 9.2.5: CRLF, LF and CR each end a line; 9.2.6: a line of data ends in LF.
            data: letter.data.replace("\r\n", "\n").replace('\r', "\n"),
            id: id.to_owned(),
        }
    }

    /// Parses a line of a driver.
    ///
    /// # Errors
    ///
    /// When it is not an event: the line itself.
    pub fn parse(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|_| line.to_owned())?;
        let text = |name: &str| value[name].as_str().map(str::to_owned).ok_or(line.to_owned());
        Ok(Self { event: text("event")?, data: text("data")?, id: text("id")? })
    }
}

/// What happens on a stream, as far as its client can notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// An event.
    Event(Seen),
    /// The response ended in an orderly way after the first line of an event's data. That part is no event. The event
    /// comes again when the client has come back.
    Torn {
        /// The event.
        whole: Seen,
        /// Its first part.
        torn: Seen,
    },
    /// A heartbeat.
    Heartbeat,
}

impl Happening {
    /// What a client should receive, according to the standard.
    pub fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Event(seen) | Self::Torn { whole: seen, .. } => Some(seen),
            Self::Heartbeat => None,
        }
    }
}

/// The names of all events here, for clients that must know them in advance.
pub const NAMES: [&str; 3] = ["price", "order.created", "naïve 🌊"];

fn letters<const N: usize>(letters: [(Option<&'static str>, &str); N]) -> Vec<Letter> {
    letters.into_iter().map(|(event, data)| Letter { event, data: data.to_owned() }).collect()
}

/// Every kind of event, for a connected client.
pub fn all_kinds() -> Vec<Letter> {
    let mut all = letters([
        (None, "1"),
        (Some("price"), "2: named"),
        (Some("naïve 🌊"), "3: a name that is not ASCII"),
        (Some("order.created"), r#"{"n": 4, "text": "JSON \"and\" \\ all"}"#),
        (None, "5\nLF\nthree lines"),
        (None, "6\r\nCRLF\r\nthree lines"),
        (None, "7\rCR\rthree lines"),
        (None, "8\r\n\n\rfour line breaks of three kinds\r\r\n"),
        (None, "\n9: a line break first"),
        (None, "10: two line breaks last\n\n"),
        (None, "\n"),
        (None, ""),
        (Some("price"), ""),
        (None, " 14: one space first"),
        (None, "  15: two spaces first\n  and again\n\tand a tab"),
        (None, "16: spaces last  "),
        (None, ":17: like a comment"),
        (None, "data: 18: like a field\nid: 1-1\nevent: x\nretry: 1"),
        (None, "19: emoji 👩\u{200d}🚀, astral 𝕏, combining e\u{301}"),
        (None, "20: separators\u{2028}line\u{2029}paragraph\u{85}next line"),
        (None, "21: separators\u{b}vertical\u{c}form feed\u{1c}file\u{1d}group\u{1e}record"),
        (None, "22: a byte order mark \u{feff} inside"),
        (None, "\u{feff}23: a byte order mark first\n\u{feff}also of the second line"),
        (None, "24: a NUL \0 inside"),
    ]);
    all.push(Letter { event: None, data: format!("25: long {}", "語".repeat(30_000)) });
    all
}

/// While a client is away for the `n`th time.
pub fn while_away(n: usize) -> Vec<Letter> {
    let mut away = letters([
        (None, "first while away"),
        (Some("price"), "two lines\nwhile away 🌊"),
        (None, ""),
        (Some("order.created"), " last while away"),
    ]);
    for letter in away.iter_mut().filter(|letter| !letter.data.is_empty()) {
        letter.data = format!("{}, time {n}", letter.data);
    }
    away
}

/// Where a connection breaks, in the first line of [`reset`] and [`torn`].
pub const BREAKS_HERE: &str = "the network breaks here";

/// The connection is reset in the middle of this event.
pub fn reset() -> Letter {
    Letter {
        event: Some("price"),
        data: format!("begins, {BREAKS_HERE}, and goes on\nin a second line"),
    }
}

/// The response ends after the first line of this event.
pub fn torn() -> Letter {
    Letter {
        event: Some("price"),
        data: format!("has a first line, {BREAKS_HERE}\nand a second line"),
    }
}

/// The first part of [`torn`].
pub fn torn_off(whole: &Seen) -> Seen {
    let (first, _) = whole.data.split_once('\n').expect("it has two lines");
    Seen { data: first.to_owned(), ..whole.clone() }
}

/// After the last cut.
pub fn in_the_end() -> Vec<Letter> {
    letters([(Some("price"), "live again"), (None, "two lines\nlive again")])
}

/// After a heartbeat.
pub fn last() -> Vec<Letter> {
    letters([(Some("price"), "the last")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_in_advance() {
        let all =
            [all_kinds(), while_away(1), in_the_end(), last(), vec![reset(), torn()]].concat();
        for name in all.iter().filter_map(|letter| letter.event) {
            assert!(NAMES.contains(&name), "{name}");
        }
    }

    #[test]
    fn each_line_break_is_one_lf() {
        let letter = Letter { event: None, data: "a\r\nb\rc\nd\r\r\n\n".to_owned() };
        let seen = Seen::of(&letter, "1-1");
        assert_eq!((seen.event.as_str(), seen.data.as_str()), ("message", "a\nb\nc\nd\n\n\n"));
    }

    #[test]
    fn a_line_of_a_driver_is_an_event_or_an_error() {
        let seen = Seen::parse(r#"{"event":"price","data":"1","id":"1-1"}"#).unwrap();
        assert_eq!((&*seen.event, &*seen.data, &*seen.id), ("price", "1", "1-1"));
        for line in
            ["", "hello", r#"{"event":"price","data":"1"}"#, r#"{"event":"","data":1,"id":""}"#]
        {
            assert_eq!(Seen::parse(line), Err(line.to_owned()));
        }
    }
}
