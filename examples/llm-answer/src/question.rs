//! What is asked: the text of a conversation's last message. The formats say it in almost the same way.

use serde::Deserialize;

use crate::refused::Refused;

/// A message of a conversation, of which only the text is read. One that only calls tools has `null`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Message {
    #[serde(alias = "parts")]
    content: Option<Content>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Debug, Clone, Deserialize)]
struct Block {
    /// Images, tools and the like have none.
    #[serde(default)]
    text: String,
}

/// The text of the last message.
pub(crate) fn last(messages: &[Message]) -> Result<String, Refused> {
    match messages.last().and_then(|message| message.content.as_ref()) {
        Some(Content::Text(text)) => Ok(text.clone()),
        Some(Content::Blocks(blocks)) => Ok(blocks.iter().map(|block| &*block.text).collect()),
        None => Err(Refused::Invalid("the last message has no content".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_is_the_question_in_each_format() {
        for messages in [
            r#"[{"role":"user","content":"hello"},{"role":"user","content":"why not"}]"#,
            r#"[{"role":"assistant","content":null},{"role":"user","content":"why not"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"why "},{"type":"image"},{"type":"text","text":"not"}]}]"#,
            r#"[{"id":"m","role":"user","parts":[{"type":"text","text":"why not"}]}]"#,
        ] {
            let messages: Vec<Message> = serde_json::from_str(messages).unwrap();
            assert_eq!(last(&messages).unwrap(), "why not");
        }
        for none in ["[]", r#"[{"role":"assistant","content":null}]"#] {
            let none: Vec<Message> = serde_json::from_str(none).unwrap();
            assert!(last(&none).is_err());
        }
    }
}
