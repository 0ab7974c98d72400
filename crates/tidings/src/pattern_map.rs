use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use slab::Slab;

use crate::number_map::NumberMap;
use crate::sync;
use crate::topic::{Topic, TopicPattern};

/// A map from patterns to values, which finds the patterns that match a topic.
///
/// What it costs to find them depends on the topic and on the patterns that match it or nearly do, not on the number of
/// patterns that there are: patterns are in a tree, by their prefix, then by their suffix, then by what is between their
/// other `*`.
///
/// ```
/// use tidings::backend::PatternMap;
/// use tidings::{Topic, TopicPattern};
///
/// let mut patterns = PatternMap::default();
/// patterns.insert(TopicPattern::new("user:42:*")?, "ada");
/// patterns.insert(TopicPattern::new("user:*:mail")?, "postmaster");
/// let topic = Topic::new("user:7:mail")?;
/// let found: Vec<_> = patterns.matching(&topic).map(|(_, who)| *who).collect();
/// assert_eq!(found, ["postmaster"]);
/// # Ok::<(), tidings::error::FieldError>(())
/// ```
#[derive(Debug)]
pub struct PatternMap<T> {
    /// The node of each pattern.
    places: sync::HashMap<TopicPattern, usize>,
    nodes: Slab<Node<T>>,
    /// The nodes of the tree's first level, by their prefix.
    by_prefix: NumberMap<usize, usize>,
    hasher: PolynomialHasher,
    prefixes: Segments,
    middles: Segments,
    suffixes: Segments,
}

/// The patterns with the same text before their first `*`, after their last, and between some of the others.
#[derive(Debug)]
struct Node<T> {
    /// `None` for a prefix; its children are suffixes, and theirs are middles.
    parent: Option<usize>,
    segment: usize,
    /// By their segment.
    children: NumberMap<usize, usize>,
    /// `a*b` and `a**b` have the same node. That of a prefix has the pattern without `*`.
    patterns: Vec<(TopicPattern, T)>,
}

/// A topic on the search for the patterns that match it.
struct Search<'a, T> {
    map: &'a PatternMap<T>,
    topic: Hashed<'a>,
    /// Where in the topic there are middles of patterns, by segment: their first bytes, in order.
    middles: Option<NumberMap<usize, Vec<usize>>>,
    found: Vec<(&'a TopicPattern, &'a T)>,
}

impl<T> PatternMap<T> {
    /// The value of a pattern.
    pub fn get(&self, pattern: &TopicPattern) -> Option<&T> {
        let node = self.nodes.get(*self.places.get(pattern)?)?;
        node.patterns.iter().find(|(other, _)| other == pattern).map(|(_, value)| value)
    }

    /// The patterns that match a topic, in no order.
    pub fn matching<'a>(
        &'a self,
        topic: &'a Topic,
    ) -> impl Iterator<Item = (&'a TopicPattern, &'a T)> {
        let topic = self.hasher.hash(topic.as_str());
        let mut search = Search { map: self, topic, middles: None, found: Vec::new() };
        search.run();
        search.found.into_iter()
    }

    /// All patterns, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPattern, &T)> {
        let patterns = self.nodes.iter().flat_map(|(_, node)| &node.patterns);
        patterns.map(|(pattern, value)| (pattern, value))
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Inserts a pattern that the map does not have. A pattern without `*` matches one topic.
    pub fn insert(&mut self, pattern: TopicPattern, value: T) {
        let mut pieces = pattern.as_str().split('*');
        let (prefix, suffix) = (pieces.next().unwrap_or_default(), pieces.next_back());
        let mut place = self.child(None, prefix);
        if let Some(suffix) = suffix {
            place = self.child(Some(place), suffix);
        }
        for middle in pieces.filter(|piece| !piece.is_empty()) {
            place = self.child(Some(place), middle);
        }
        self.places.insert(pattern.clone(), place);
        if let Some(node) = self.nodes.get_mut(place) {
            node.patterns.push((pattern, value));
        }
    }

    /// Removes a pattern, if the map has it.
    pub fn remove(&mut self, pattern: &TopicPattern) {
        let Some(place) = self.places.remove(pattern) else { return };
        if self.places.is_empty() {
            *self = Self::default();
            return;
        }
        shrink(&mut self.places);
        if let Some(node) = self.nodes.get_mut(place) {
            node.patterns.retain(|(other, _)| other != pattern);
        }
        let mut place = Some(place);
        while let Some((id, node)) = place.and_then(|id| Some((id, self.nodes.get(id)?))) {
            if !(node.patterns.is_empty() && node.children.is_empty()) {
                break;
            }
            let Node { parent, segment, .. } = self.nodes.remove(id);
            let hasher = self.hasher;
            self.segments_below(parent).leave(segment, hasher);
            if let Some(siblings) = self.children_mut(parent) {
                siblings.remove(&segment);
                shrink(siblings);
            }
            place = parent;
        }
    }

    /// The child of a node with this segment, which is made if there is none.
    fn child(&mut self, parent: Option<usize>, segment: &str) -> usize {
        let hasher = self.hasher;
        let segments = self.segments_below(parent);
        let segment = segments.enter(segment, hasher);
        if let Some(child) = self.children_mut(parent).and_then(|all| all.get(&segment).copied()) {
            self.segments_below(parent).leave(segment, hasher);
            return child;
        }
        let node = Node { parent, segment, children: NumberMap::default(), patterns: Vec::new() };
        let child = self.nodes.insert(node);
        if let Some(siblings) = self.children_mut(parent) {
            siblings.insert(segment, child);
        }
        child
    }

    fn children_mut(&mut self, parent: Option<usize>) -> Option<&mut NumberMap<usize, usize>> {
        match parent {
            Some(parent) => self.nodes.get_mut(parent).map(|node| &mut node.children),
            None => Some(&mut self.by_prefix),
        }
    }

    /// The segments that the children of a node have.
    fn segments_below(&mut self, parent: Option<usize>) -> &mut Segments {
        match parent.map(|parent| self.nodes.get(parent).and_then(|node| node.parent)) {
            None => &mut self.prefixes,
            Some(None) => &mut self.suffixes,
            Some(Some(_)) => &mut self.middles,
        }
    }
}

impl<T> Default for PatternMap<T> {
    fn default() -> Self {
        Self {
            places: sync::HashMap::default(),
            nodes: Slab::new(),
            by_prefix: NumberMap::default(),
            hasher: PolynomialHasher::random(),
            prefixes: Segments::default(),
            middles: Segments::default(),
            suffixes: Segments::default(),
        }
    }
}

/// After a wave of patterns a table gives its memory back.
fn shrink<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.len() < map.capacity() / 8 {
        map.shrink_to_fit();
    }
}

impl<'a, T> Search<'a, T> {
    fn run(&mut self) {
        let (map, length) = (self.map, self.topic.text.len());
        let suffixes = self.suffixes();
        for prefix_length in map.prefixes.lengths_up_to(length) {
            let prefix = map.prefixes.find(&self.topic, 0, prefix_length);
            let Some(node) = prefix.and_then(|prefix| self.node(map.by_prefix.get(&prefix))) else {
                continue;
            };
            if prefix_length == length {
                self.take(node);
            }
            // Whichever are fewer: those that the topic has, or those that the patterns have.
            if suffixes.len() < node.children.len() {
                for (suffix_length, suffix) in &suffixes {
                    let child = self.node(node.children.get(suffix));
                    self.enter(child, prefix_length, *suffix_length);
                }
            } else {
                for (suffix, child) in &node.children {
                    let suffix_length = map.suffixes.length(*suffix);
                    if suffixes.get(&suffix_length) == Some(suffix) {
                        self.enter(self.node(Some(child)), prefix_length, suffix_length);
                    }
                }
            }
        }
    }

    /// The suffixes of patterns that the topic ends with, by their length.
    fn suffixes(&self) -> BTreeMap<usize, usize> {
        let (suffixes, length) = (&self.map.suffixes, self.topic.text.len());
        let found = suffixes.lengths_up_to(length).filter_map(|suffix_length| {
            let start = length - suffix_length;
            Some((suffix_length, suffixes.find(&self.topic, start, suffix_length)?))
        });
        found.collect()
    }

    fn node(&self, id: Option<&usize>) -> Option<&'a Node<T>> {
        count_step();
        self.map.nodes.get(*id?)
    }

    fn take(&mut self, node: &'a Node<T>) {
        self.found.extend(node.patterns.iter().map(|(pattern, value)| (pattern, value)));
    }

    /// The patterns with a prefix and a suffix of these lengths, which the topic has.
    fn enter(&mut self, node: Option<&'a Node<T>>, prefix: usize, suffix: usize) {
        let end = self.topic.text.len() - suffix;
        let Some(node) = node.filter(|_| prefix <= end) else { return };
        self.take(node);
        if !node.children.is_empty() {
            let middles = self.middles.take().unwrap_or_else(|| self.map.middles.all(&self.topic));
            self.descend(node, prefix, end, &middles);
            self.middles = Some(middles);
        }
    }

    /// The patterns whose next piece is in this part of the topic. The first occurrence of a piece leaves most to the
    /// next: no other needs to be tried.
    fn descend(
        &mut self,
        node: &'a Node<T>,
        start: usize,
        end: usize,
        middles: &NumberMap<usize, Vec<usize>>,
    ) {
        let mut visit = |child: Option<&usize>, middle: usize, places: Option<&Vec<usize>>| {
            let Some(places) = places else { return };
            let place = places.get(places.partition_point(|place| *place < start));
            let next = place.map(|place| place + self.map.middles.length(middle));
            if let (Some(child), Some(next)) = (self.node(child), next.filter(|next| *next <= end))
            {
                self.take(child);
                self.descend(child, next, end, middles);
            }
        };
        if middles.len() < node.children.len() {
            middles.iter().for_each(|(middle, places)| {
                visit(node.children.get(middle), *middle, Some(places));
            });
        } else {
            node.children.iter().for_each(|(middle, child)| {
                visit(Some(child), *middle, middles.get(middle));
            });
        }
    }
}

/// The different texts that patterns have at a place, and how many nodes have each.
#[derive(Debug, Default)]
struct Segments {
    segments: Slab<Segment>,
    by_hash: NumberMap<u64, Vec<usize>>,
    /// How many there are of each length in bytes.
    lengths: BTreeMap<usize, usize>,
}

#[derive(Debug)]
struct Segment {
    text: Box<str>,
    uses: usize,
}

impl Segments {
    fn enter(&mut self, text: &str, hasher: PolynomialHasher) -> usize {
        let hashed = hasher.hash(text);
        let known = self.find(&hashed, 0, text.len());
        if let Some((id, segment)) = known.and_then(|id| Some((id, self.segments.get_mut(id)?))) {
            segment.uses += 1;
            return id;
        }
        let id = self.segments.insert(Segment { text: text.into(), uses: 1 });
        self.by_hash.entry(hashed.of(0, text.len())).or_default().push(id);
        *self.lengths.entry(text.len()).or_default() += 1;
        id
    }

    fn leave(&mut self, id: usize, hasher: PolynomialHasher) {
        let Some(segment) = self.segments.get_mut(id) else { return };
        segment.uses -= 1;
        if segment.uses > 0 {
            return;
        }
        let Segment { text, .. } = self.segments.remove(id);
        let hash = hasher.hash(&text).of(0, text.len());
        if let Some(same) = self.by_hash.get_mut(&hash) {
            same.retain(|other| *other != id);
            if same.is_empty() {
                self.by_hash.remove(&hash);
                shrink(&mut self.by_hash);
            }
        }
        if let Some(count) = self.lengths.get_mut(&text.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&text.len());
            }
        }
    }

    fn lengths_up_to(&self, length: usize) -> impl Iterator<Item = usize> {
        self.lengths.range(..=length).map(|(length, _)| *length)
    }

    fn length(&self, id: usize) -> usize {
        self.segments.get(id).map_or(0, |segment| segment.text.len())
    }

    /// The segment that is a part of a text.
    fn find(&self, text: &Hashed<'_>, start: usize, length: usize) -> Option<usize> {
        count_step();
        let same = self.by_hash.get(&text.of(start, length))?;
        let part = text.text.as_bytes().get(start..start + length)?;
        let is_same = |id: &&usize| {
            self.segments.get(**id).is_some_and(|segment| segment.text.as_bytes() == part)
        };
        same.iter().find(is_same).copied()
    }

    /// All segments that are in a text, and where.
    fn all(&self, text: &Hashed<'_>) -> NumberMap<usize, Vec<usize>> {
        let mut all: NumberMap<usize, Vec<usize>> = NumberMap::default();
        for length in self.lengths_up_to(text.text.len()) {
            for start in 0..=text.text.len() - length {
                if let Some(id) = self.find(text, start, length) {
                    all.entry(id).or_default().push(start);
                }
            }
        }
        all
    }
}

/// Hashes all parts of a text at once: the polynomial of its bytes at a random base, modulo the prime 2⁶¹ − 1.
#[derive(Debug, Clone, Copy)]
struct PolynomialHasher {
    base: u64,
}

struct Hashed<'a> {
    text: &'a str,
    /// The hash of the text up to each byte.
    up_to: Vec<u64>,
    /// The base to the power of each length.
    powers: Vec<u64>,
}

impl PolynomialHasher {
    const PRIME: u64 = (1 << 61) - 1;

    fn random() -> Self {
        Self { base: fastrand::u64(1 << 32..Self::PRIME) }
    }

    fn multiply(a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        // Both parts are below 2⁶², so their sum fits.
        let sum = (product as u64 & Self::PRIME) + (product >> 61) as u64;
        if sum < Self::PRIME { sum } else { sum - Self::PRIME }
    }

    fn hash(self, text: &str) -> Hashed<'_> {
        let (mut hash, mut power) = (0, 1);
        let mut up_to = Vec::with_capacity(text.len() + 1);
        let mut powers = Vec::with_capacity(text.len() + 1);
        for byte in text.bytes() {
            up_to.push(hash);
            powers.push(power);
            hash = (Self::multiply(hash, self.base) + u64::from(byte) + 1) % Self::PRIME;
            power = Self::multiply(power, self.base);
        }
        up_to.push(hash);
        powers.push(power);
        Hashed { text, up_to, powers }
    }
}

impl Hashed<'_> {
    /// The hash of a part of the text.
    fn of(&self, start: usize, length: usize) -> u64 {
        let [before, after] = [start, start + length].map(|at| self.up_to.get(at).copied());
        let power = self.powers.get(length).copied().unwrap_or_default();
        let shifted = PolynomialHasher::multiply(before.unwrap_or_default(), power);
        (after.unwrap_or_default() + PolynomialHasher::PRIME - shifted) % PolynomialHasher::PRIME
    }
}

#[cfg(not(test))]
fn count_step() {}

#[cfg(test)]
use tests::count_step;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_step() {
        STEPS.set(STEPS.get() + 1);
    }

    fn pattern(name: &str) -> TopicPattern {
        TopicPattern::new(name).unwrap()
    }

    proptest! {
        #[test]
        fn a_topic_finds_all_patterns_that_match_it(
            patterns in prop::collection::btree_set(
                "[abé.]{0,2}|[abé.]{0,4}\\*[ab*]{0,2}|[abé]{0,2}(\\*[aéb]{0,2}){1,4}",
                0..40,
            ),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            name in "[abé.]{1,8}",
        ) {
            let patterns = patterns.iter().filter(|name| !name.is_empty());
            let mut all: Vec<_> = patterns.map(|name| pattern(name)).collect();
            let mut index = PatternMap::default();
            all.iter().for_each(|pattern| index.insert(pattern.clone(), pattern.clone()));
            for at in removed {
                if !all.is_empty() {
                    let gone = all.swap_remove(at.index(all.len()));
                    index.remove(&gone);
                    prop_assert_eq!(index.get(&gone), None);
                }
            }
            prop_assert!(all.iter().all(|pattern| index.get(pattern) == Some(pattern)));
            prop_assert_eq!(index.iter().count(), all.len());
            let topic = Topic::new(name).unwrap();
            let mut found: Vec<_> = index.matching(&topic).map(|(pattern, _)| pattern.clone()).collect();
            found.sort();
            all.retain(|pattern| pattern.matches(&topic));
            all.sort();
            prop_assert_eq!(found, all);
        }
    }

    /// All texts of some characters, up to a length.
    fn texts(characters: &str, length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..length {
            let longer =
                last.iter().flat_map(|text| characters.chars().map(move |c| format!("{text}{c}")));
            last = longer.collect();
            all.extend_from_slice(&last);
        }
        all.split_off(1)
    }

    #[test]
    fn short_topics_find_all_short_patterns_that_match_them() {
        let all: Vec<_> = texts("ab*", 5).iter().map(|name| pattern(name)).collect();
        let mut index = PatternMap::default();
        all.iter().for_each(|pattern| index.insert(pattern.clone(), ()));
        for name in texts("ab", 6) {
            let topic = Topic::new(name).unwrap();
            let mut found: Vec<_> = index.matching(&topic).map(|(pattern, ())| pattern).collect();
            found.sort();
            let mut expected: Vec<_> =
                all.iter().filter(|pattern| pattern.matches(&topic)).collect();
            expected.sort();
            assert_eq!(found, expected, "{topic}");
        }
    }

    #[test]
    fn removed_patterns_leave_nothing() {
        let mut patterns = PatternMap::default();
        let names: Vec<_> = (0..1_000).map(|n| pattern(&format!("{n}:*:{n}*{n}"))).collect();
        names.iter().for_each(|name| patterns.insert(name.clone(), ()));
        patterns.insert(pattern("7:*:x"), ());
        names.iter().for_each(|name| patterns.remove(name));
        assert!(patterns.iter().map(|(pattern, ())| pattern).eq([&pattern("7:*:x")]));
        assert_eq!(patterns.nodes.len(), 2);
        for segments in [&patterns.prefixes, &patterns.middles, &patterns.suffixes] {
            let count = segments.segments.len();
            assert!(count <= 1 && segments.by_hash.len() == count);
            assert_eq!(segments.lengths.len(), count);
            assert!(segments.by_hash.capacity() < 100);
        }
        assert!(patterns.by_prefix.capacity() < 100 && patterns.places.capacity() < 100);
        patterns.remove(&pattern("7:*:x"));
        patterns.remove(&pattern("never:*"));
        assert!(patterns.is_empty() && patterns.nodes.is_empty());
    }

    /// Ten thousand patterns that are made to be much work, and the topic for which they are.
    fn adversarial() -> [(&'static str, Vec<String>, String); 6] {
        let a = |count: usize| "a".repeat(count);
        let pairs = || (0..10_000).map(|n| (n / 100 + 1, n % 100 + 1));
        let numbers = || (0..10_000).map(|n| format!("{n:04}"));
        [
            ("one prefix", numbers().map(|n| format!("user:*:{n}")).collect(), "user:1:1".into()),
            ("one suffix", numbers().map(|n| format!("*{n}*b")).collect(), format!("{}b", a(255))),
            ("repeated", pairs().map(|(n, m)| format!("{}*{}b", a(n), a(m))).collect(), a(256)),
            (
                "repeated in the middle",
                pairs().map(|(n, m)| format!("*{}*{}*b*", a(n), a(m))).collect(),
                a(256),
            ),
            (
                "prefixes and suffixes",
                pairs().map(|(n, m)| format!("{}*b*{}", a(n), a(m))).collect(),
                a(256),
            ),
            (
                "as many pieces as possible",
                numbers()
                    .map(|n| {
                        let [w, x, y, z] = n.as_bytes() else { unreachable!() };
                        let [w, x, y, z] = [w, x, y, z].map(|n| a((n - b'0' + 1).into()));
                        format!("*{w}*{x}*{y}*{z}*a*b*")
                    })
                    .collect(),
                a(256),
            ),
        ]
    }

    #[test]
    fn patterns_that_are_made_to_be_much_work_are_little() {
        for (shape, names, topic) in adversarial() {
            let all: Vec<_> = names.iter().map(|name| pattern(name)).collect();
            let mut index = PatternMap::default();
            STEPS.set(0);
            all.iter().for_each(|pattern| index.insert(pattern.clone(), ()));
            let entered = STEPS.replace(0);
            let topic = Topic::new(topic).unwrap();
            let found = index.matching(&topic).count();
            let matched = STEPS.replace(0);
            all.iter().for_each(|pattern| index.remove(pattern));
            let left = STEPS.replace(0);
            assert_eq!(found, all.iter().filter(|pattern| pattern.matches(&topic)).count());
            // Each part of the topic once, and each node that differs from others once.
            assert!(matched < 50_000, "{shape}: {matched} steps to match");
            assert!(entered <= 20 * all.len(), "{shape}: {entered} steps to enter");
            assert!(left <= 20 * all.len(), "{shape}: {left} steps to leave");
            assert!(index.is_empty() && index.nodes.is_empty());
        }
    }
}
