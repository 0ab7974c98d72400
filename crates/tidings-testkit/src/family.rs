/// Whether a topic is one of these, by its name or as one of a family such as `a:*`.
///
/// Whoever judges does not ask the judged: what a `*` stands for is found out here once more.
pub fn is_of(topics: &[impl AsRef<str>], topic: &str) -> bool {
    topics.iter().any(|asked| is_like(asked.as_ref(), topic))
}

fn is_like(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    name.strip_prefix(before).is_some_and(|name| {
        let tails = name.char_indices().map(|(at, _)| &name[at..]).chain([""]);
        tails.into_iter().any(|tail| is_like(rest, tail))
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
