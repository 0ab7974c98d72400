/// Whether a topic is one of these, or matches one of them as a pattern such as `a:*`.
///
/// A test must not ask the code under test, so this decides it a second time.
pub fn is_of(topics: &[impl AsRef<str>], topic: &str) -> bool {
    topics.iter().any(|pattern| matches(pattern.as_ref(), topic))
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    name.strip_prefix(before).is_some_and(|name| {
        let mut tails = name.char_indices().map(|(at, _)| &name[at..]).chain([""]);
        tails.any(|tail| matches(rest, tail))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for pattern in ["a:b", "*", "a*", "*b", "a*b", "*:*", "a:b*", "*a:b", "**", "a*:*b"] {
            assert!(is_of(&["x", pattern], "a:b"), "{pattern}");
        }
        for pattern in ["a", "b*", "*a", "a:b:*", "*c*", "a*:*:b", "a::b"] {
            assert!(!is_of(&["x", pattern], "a:b"), "{pattern}");
        }
    }
}
