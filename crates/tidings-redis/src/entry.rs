//! Entries of a stream, as Redis answers with them.

use redis::{ErrorKind, RedisError, RedisResult, Value};
use tidings::backend::{Record, RecordError};

use crate::entry_id::EntryId;

/// An entry: its id, and its fields as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// The event that it is, at its position.
    pub(crate) fn record(&self, position: u64) -> Result<Record, RecordError> {
        let fields = self.fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        Record::from_fields(position, self.id.ms, fields)
    }

    /// The topic that it names; the rest is not checked.
    pub(crate) fn topic(&self) -> Option<&[u8]> {
        self.fields.iter().find(|(name, _)| name == b"topic").map(|(_, value)| value.as_slice())
    }

    /// Its size, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Reads the answer to `XRANGE` or `XREVRANGE`.
pub(crate) fn entries(answer: Value) -> RedisResult<Vec<Entry>> {
    match answer.extract_error()? {
        Value::Nil => Ok(Vec::new()),
        Value::Array(entries) => entries.into_iter().map(entry).collect(),
        other => Err(unexpected("entries of a stream", &other)),
    }
}

/// Reads the answer to an `XREAD` of one stream: in RESP2 a list of pairs, in RESP3 a map.
pub(crate) fn streams(answer: Value) -> RedisResult<Vec<Entry>> {
    match answer.extract_error()? {
        Value::Nil => Ok(Vec::new()),
        Value::Map(mut streams) if streams.len() == 1 => entries(streams.remove(0).1),
        Value::Array(mut streams) if streams.len() == 1 => match streams.remove(0) {
            Value::Array(mut pair) if pair.len() == 2 => entries(pair.remove(1)),
            other => Err(unexpected("a stream", &other)),
        },
        other => Err(unexpected("one stream", &other)),
    }
}

fn entry(entry: Value) -> RedisResult<Entry> {
    let Value::Array(parts) = entry else { return Err(unexpected("an entry", &entry)) };
    let Ok([id, fields]) = <[Value; 2]>::try_from(parts) else {
        return Err(unexpected("an id and fields", &Value::Nil));
    };
    let id = bytes(id)?;
    let id =
        EntryId::parse(&id).ok_or_else(|| unexpected("an entry's id", &Value::BulkString(id)))?;
    let mut fields = match fields {
        Value::Array(fields) => fields.into_iter(),
        other => return Err(unexpected("an entry's fields", &other)),
    };
    let mut pairs = Vec::with_capacity(fields.len() / 2);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        pairs.push((bytes(name)?, bytes(value)?));
    }
    Ok(Entry { id, fields: pairs })
}

/// Reads a list of strings.
pub(crate) fn texts(answer: Value) -> RedisResult<Vec<Vec<u8>>> {
    match answer.extract_error()? {
        Value::Array(texts) => texts.into_iter().map(bytes).collect(),
        other => Err(unexpected("a list of strings", &other)),
    }
}

/// Reads a string.
pub(crate) fn bytes(value: Value) -> RedisResult<Vec<u8>> {
    match value.extract_error()? {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(unexpected("a string", &other)),
    }
}

pub(crate) fn unexpected(expected: &str, got: &Value) -> RedisError {
    let got: String = format!("{got:?}").chars().take(80).collect();
    let cause = format!("expected {expected}, not {got}");
    (ErrorKind::UnexpectedReturnType, "unexpected answer", cause).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(items.into_iter().collect())
    }

    fn some_entries() -> Value {
        let fields = ["topic", "orders", "data", "order 17"].map(text);
        list([list([text("5-1"), list(fields)])])
    }

    #[test]
    fn both_protocols_answer_with_the_same_entries() {
        let plain = entries(some_entries()).unwrap();
        assert_eq!(plain[0].id, EntryId { ms: 5, seq: 1 });
        assert_eq!(plain[0].topic(), Some(&b"orders"[..]));
        assert_eq!(plain[0].size(), 23);
        let record = plain[0].record(7).unwrap();
        assert_eq!((record.position, record.at, record.event.data()), (7, 5, Some("order 17")));

        let resp2 = list([list([text("{t}:log"), some_entries()])]);
        let resp3 = Value::Map(vec![(text("{t}:log"), some_entries())]);
        assert_eq!(streams(resp2).unwrap(), plain);
        assert_eq!(streams(resp3).unwrap(), plain);
    }

    #[test]
    fn an_answer_without_entries_is_empty() {
        assert_eq!(streams(Value::Nil).unwrap(), []);
        assert_eq!(entries(list([])).unwrap(), []);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        for answer in [text("x"), list([text("x")]), list([list([text("5"), list([])])])] {
            assert!(entries(answer.clone()).is_err(), "{answer:?}");
            assert!(streams(list([list([text("s"), answer])])).is_err());
        }
        let long = text(&"ä".repeat(1_000));
        assert!(bytes(list([long])).unwrap_err().to_string().len() < 300);
    }
}
