//! How large a query may be.
//!
//! async-graphql counts the fields late. Before that, it looks into a fragment wherever it is spread, and compares the arguments
//! of fields that have the same name. So a short text can keep a thread busy for ever, or take all memory; and one with
//! fragments in fragments, the whole stack.

use async_graphql::parser::types::{ExecutableDocument, Selection};

/// The fields and spreads of all operations and fragments, with those of a fragment wherever it is spread. Tools that ask for
/// the whole schema have some 500.
const MAX_SELECTIONS: usize = 1024;

/// The arguments and directives of a field or a spread, and the arguments of these.
const MAX_ARGUMENTS: usize = 8;

/// What is wrong in a fragment is told for each of them.
const MAX_OPERATIONS: usize = 8;

/// Whether a query has more than anybody needs.
pub(crate) fn is_too_large(query: &ExecutableDocument) -> bool {
    let operations = query.operations.iter();
    if operations.len() > MAX_OPERATIONS {
        return true;
    }
    let operations = operations.map(|(_, operation)| &operation.node.selection_set);
    let fragments = query.fragments.values().map(|fragment| &fragment.node.selection_set);
    let mut sets: Vec<_> = operations.chain(fragments).collect();
    let mut selections = 0;
    while let Some(set) = sets.pop() {
        selections += set.node.items.len();
        // A fragment that is spread in itself has no end.
        if selections > MAX_SELECTIONS {
            return true;
        }
        for selection in &set.node.items {
            let directives = selection.node.directives().iter();
            let mut arguments: usize = directives.map(|it| 1 + it.node.arguments.len()).sum();
            sets.extend(match &selection.node {
                Selection::Field(field) => {
                    arguments += field.node.arguments.len();
                    Some(&field.node.selection_set)
                }
                Selection::InlineFragment(fragment) => Some(&fragment.node.selection_set),
                Selection::FragmentSpread(spread) => {
                    let fragment = query.fragments.get(&spread.node.fragment_name.node);
                    fragment.map(|fragment| &fragment.node.selection_set)
                }
            });
            if arguments > MAX_ARGUMENTS {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn is_large(query: &str) -> bool {
        is_too_large(&parse_query(query).unwrap())
    }

    #[test]
    fn selections_count_wherever_they_are_spread() {
        let spread = |times: usize| {
            let fragments = "fragment F on Query { ...G ...G } fragment G on Query { a b }";
            format!("{{ {} }} {fragments}", "...F ".repeat(times))
        };
        // Each one of F has seven, and the fragments by themselves eight.
        assert!(!is_large(&spread(145)));
        assert!(is_large(&spread(146)));
        assert!(!is_large("{ ...unknown }"));
        assert!(is_large("{ ...F } fragment F on Query { ... { ...F } }"));
    }

    #[test]
    fn fragments_that_are_not_used_are_looked_at_too() {
        let chain = |length: usize| {
            let fragment = |n: usize| format!(" fragment F{n} on Query {{ ...F{} }}", n + 1);
            "{ a }".to_owned() + &(0..length).map(fragment).collect::<String>()
        };
        assert!(!is_large(&chain(40)));
        assert!(is_large(&chain(2_000)));
    }

    #[test]
    fn arguments_and_operations_are_few() {
        for (before, one, after) in [
            ("{ a(", "x: 1 ", ") }"),
            ("{ a ", "@x ", "}"),
            ("{ a { ... @x(", "x: [1, 2, 3] ", ") { a } } }"),
            ("", "query Q { a } ", ""),
        ] {
            let query = |count: usize| {
                let each = (0..count).map(|n| one.replace('Q', &format!("Q{n}")));
                format!("{before}{}{after}", each.collect::<String>())
            };
            assert!(!is_large(&query(7)), "{}", query(7));
            assert!(is_large(&query(9)), "{}", query(9));
        }
    }
}
