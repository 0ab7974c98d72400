//! What a stream has brought, for the test and for its error messages.

use std::collections::VecDeque;
use std::fmt;

use tidings::error::DecodeError;
use tidings::{Decoder, Message, STATUS_EVENT};

/// A part of a stream.
#[derive(Debug, Clone)]
pub(crate) enum Received {
    Message(Message),
    Comment(String),
    /// A block without data that sets the id.
    Id(String),
}

impl Received {
    /// The id that a client sends from now on; `None` if it stays what it was, as in browsers also across connections.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        match self {
            Self::Message(message) => message.id(),
            Self::Comment(_) => None,
            Self::Id(id) => Some(id),
        }
    }

    /// Whether this tells a client no more than that its stream has begun, without a gap.
    pub(crate) fn is_quiet_status(&self) -> bool {
        let Self::Message(message) = self else { return false };
        message.event() == STATUS_EVENT && status_of(message).is_some_and(|it| it.0 != "reset")
    }
}

/// The status and the reason that a status event names.
pub(crate) fn status_of(message: &Message) -> Option<(String, Option<String>)> {
    let data: serde_json::Value = serde_json::from_str(message.data()).ok()?;
    let text = |name: &str| data.get(name)?.as_str().map(str::to_owned);
    Some((text("status")?, text("reason")))
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => {
                write!(f, "event {:?}", message.event())?;
                if let Some(id) = message.id() {
                    write!(f, ", id {id}")?;
                }
                write!(f, ": {}", Excerpt(message.data()))
            }
            Self::Comment(text) if text.is_empty() => f.write_str("comment"),
            Self::Comment(text) => write!(f, "comment: {}", Excerpt(text)),
            Self::Id(id) => write!(f, "id {id}"),
        }
    }
}

/// The newest of what was received, for error messages: a stream may have endless comments.
#[derive(Debug, Default)]
pub(crate) struct History {
    lines: VecDeque<String>,
    /// How many there were before.
    before: usize,
}

impl History {
    const LINES: usize = 100;

    pub(crate) fn push(&mut self, received: &Received) {
        if self.lines.len() == Self::LINES {
            self.lines.pop_front();
            self.before += 1;
        }
        self.lines.push_back(received.to_string());
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.before > 0 {
            writeln!(f, "      {} before these", self.before)?;
        }
        for (number, line) in (self.before + 1..).zip(&self.lines) {
            writeln!(f, "{number:>4}. {line}")?;
        }
        Ok(())
    }
}

/// The beginning of a text, in one line.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARACTERS: usize = 200;
        let line = self.0.replace('\n', "\\n");
        match line.char_indices().nth(CHARACTERS) {
            Some((end, _)) => write!(f, "{}… ({} bytes)", &line[..end], self.0.len()),
            None => f.write_str(&line),
        }
    }
}

/// Reads the bytes of a stream as a client does, and its comments, which clients drop.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    decoder: Decoder,
    line: Vec<u8>,
    /// The first line has ended, which a byte order mark may begin.
    has_begun: bool,
    last_event_id: String,
}

impl Parser {
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut pass: impl FnMut(Received),
    ) -> Result<(), DecodeError> {
        // Line by line, for comments and messages come in one order.
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.decoder.feed(part)?;
            let Some((b'\n' | b'\r', text)) = part.split_last() else {
                self.line.extend_from_slice(part);
                continue;
            };
            self.line.extend_from_slice(text);
            let mut line = &*self.line;
            if !self.has_begun {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                self.has_begun = true;
            }
            if let Some(comment) = line.strip_prefix(b":") {
                let comment = comment.strip_prefix(b" ").unwrap_or(comment);
                pass(Received::Comment(String::from_utf8_lossy(comment).into_owned()));
            }
            self.line.clear();
            let message = self.decoder.next_message();
            let sets_id = self.decoder.last_event_id() != self.last_event_id;
            if sets_id {
                self.decoder.last_event_id().clone_into(&mut self.last_event_id);
            }
            match message {
                Some(message) => pass(Received::Message(message)),
                None if sets_id => pass(Received::Id(self.last_event_id.clone())),
                None => {}
            }
        }
        Ok(())
    }

    pub(crate) fn retry(&self) -> Option<std::time::Duration> {
        self.decoder.retry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(pieces: &[&str]) -> Vec<String> {
        let mut parser = Parser::default();
        let mut received = Vec::new();
        for piece in pieces {
            parser.feed(piece.as_bytes(), |it| received.push(it.to_string())).unwrap();
        }
        received
    }

    #[test]
    fn comments_and_messages_come_in_their_order() {
        let expected = ["comment: one", r#"event "message": a"#, "comment", r#"event "x", id 7: "#];
        for line_end in ["\n", "\r", "\r\n"] {
            let stream = ": one\ndata: a\n\n:\nid: 7\nevent: x\ndata\n\n".replace('\n', line_end);
            assert_eq!(parse(&[&stream]), expected, "{line_end:?}");
            let bytes: Vec<_> = stream.split("").collect();
            assert_eq!(parse(&bytes), expected, "{line_end:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_hides_no_comment() {
        assert_eq!(parse(&["\u{feff}: one\n\u{feff}: no\n"]), ["comment: one"]);
    }

    #[test]
    fn a_block_that_only_sets_the_id_is_received() {
        assert_eq!(parse(&["id: 7\n\nretry: 5\n\n"]), ["id 7"]);
    }

    #[test]
    fn a_history_has_the_newest_lines_and_their_numbers() {
        let mut history = History::default();
        for number in 1..=102 {
            history.push(&Received::Id(number.to_string()));
        }
        let text = history.to_string();
        assert!(text.starts_with("      2 before these\n   3. id 3\n"), "{text}");
        assert!(text.ends_with("\n 102. id 102\n"), "{text}");
    }

    #[test]
    fn an_excerpt_is_one_line() {
        assert_eq!(Excerpt("a\nb").to_string(), "a\\nb");
        let long = "é".repeat(300);
        assert_eq!(Excerpt(&long).to_string(), format!("{}… (600 bytes)", "é".repeat(200)));
    }
}
