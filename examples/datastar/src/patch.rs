//! The events of Datastar 1.0: elements, signals, and scripts, which are elements.

use serde::Deserialize;
use serde_json::Value;
use tidings_warp::Event;
use tidings_warp::tidings::error::EventError;

/// What changes in the page.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Patch {
    #[serde(rename = "patchElements")]
    Elements(Elements),
    #[serde(rename = "patchSignals")]
    Signals(Signals),
    #[serde(rename = "executeScript")]
    Script(Script),
}

/// Elements that take the place of those with their ids, unless a selector and a mode say otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Elements {
    pub(crate) elements: String,
    pub(crate) selector: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) use_view_transition: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    #[default]
    Outer,
    Inner,
    Replace,
    Prepend,
    Append,
    Before,
    After,
    Remove,
}

/// Values of signals; null removes one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Signals {
    pub(crate) signals: Value,
    /// The same as text, which may have line breaks.
    #[serde(rename = "signals-raw")]
    pub(crate) text: Option<String>,
    pub(crate) only_if_missing: bool,
}

/// A script that runs at once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Script {
    pub(crate) script: String,
    #[serde(default)]
    pub(crate) attributes: Attributes,
    pub(crate) auto_remove: Option<bool>,
}

/// In their order.
#[derive(Debug, Default)]
pub(crate) struct Attributes(pub(crate) Vec<(String, String)>);

impl Elements {
    pub(crate) fn new(elements: impl Into<String>) -> Self {
        Self { elements: elements.into(), ..Self::default() }
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Outer => "outer",
            Self::Inner => "inner",
            Self::Replace => "replace",
            Self::Prepend => "prepend",
            Self::Append => "append",
            Self::Before => "before",
            Self::After => "after",
            Self::Remove => "remove",
        }
    }
}

impl Patch {
    /// The event, without an id: a hub gives it one.
    pub(crate) fn event(&self) -> Result<Event, EventError> {
        let name = match self {
            Self::Elements(_) | Self::Script(_) => "datastar-patch-elements",
            Self::Signals(_) => "datastar-patch-signals",
        };
        let mut lines = Vec::new();
        match self {
            Self::Elements(elements) => elements.write(&mut lines),
            Self::Script(script) => script.elements().write(&mut lines),
            Self::Signals(signals) => signals.write(&mut lines),
        }
        Event::named(name, lines.join("\n"))
    }
}

impl Elements {
    fn write(&self, lines: &mut Vec<String>) {
        if let Some(selector) = &self.selector {
            lines.push(format!("selector {selector}"));
        }
        if self.mode != Mode::Outer {
            lines.push(format!("mode {}", self.mode.name()));
        }
        if self.use_view_transition {
            lines.push("useViewTransition true".to_owned());
        }
        lines.extend(self.elements.lines().map(|line| format!("elements {line}")));
    }
}

impl Signals {
    fn write(&self, lines: &mut Vec<String>) {
        if self.only_if_missing {
            lines.push("onlyIfMissing true".to_owned());
        }
        let text = self.text.clone().unwrap_or_else(|| self.signals.to_string());
        lines.extend(text.lines().map(|line| format!("signals {line}")));
    }
}

impl Script {
    fn elements(&self) -> Elements {
        let attributes = self
            .attributes
            .0
            .iter()
            .map(|(name, value)| format!(r#" {name}="{}""#, page_example::escaped(value)));
        let remove = match self.auto_remove {
            Some(false) => "",
            _ => r#" data-effect="el.remove()""#,
        };
        let attributes: String = attributes.collect();
        let elements = format!("<script{attributes}{remove}>{}</script>", self.script);
        let selector = Some("body".to_owned());
        Elements { elements, selector, mode: Mode::Append, use_view_transition: false }
    }
}
