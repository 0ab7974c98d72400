//! How a suite becomes tests: one for each promise, run once per provider.

/// Makes a test of each promise of a suite in this crate. The suite is a module with a `run` that takes a promise.
#[doc(hidden)]
#[macro_export]
macro_rules! suite_tests {
    (
        $suite:ident for $provider:ty;
        $($module:ident { $($(#[$meta:meta])* $promise:ident)+ })+
    ) => {
        $(mod $module {
            use super::*;

            $(
                $(#[$meta])*
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    $crate::$suite::run($crate::$suite::$module::$promise::<$provider>).await;
                }
            )+
        })+
    };
}

/// Fails unless the macro in `src/<suite>.rs` lists every promise in the files of `src/<suite>`.
#[cfg(test)]
pub(crate) fn assert_all_listed(suite: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(suite);
    let list = std::fs::read_to_string(folder.with_extension("rs")).unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let module = path.file_stem().and_then(|name| name.to_str()).unwrap();
        let listed = list.split_once(&format!(" {module} {{")).map_or("", |(_, rest)| rest);
        let listed = listed.split('}').next().unwrap_or_default();
        let source = std::fs::read_to_string(&path).unwrap();
        for promise in promises(&source) {
            let is_listed = listed.split_whitespace().any(|name| name == promise);
            assert!(is_listed, "{suite}_suite! does not list {module}::{promise}");
        }
    }
}

/// The names of the promises in a file. They are generic over their provider; other functions are not.
#[cfg(test)]
fn promises(source: &str) -> impl Iterator<Item = &str> {
    let functions = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
    // What follows the name may be on other lines.
    functions.filter_map(|line| line.split_once('<')).map(|it| it.0).filter(|it| !it.contains('('))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_promise_is_found_however_long_it_is() {
        let lines = [
            "pub async fn short<A: Adapter>() {",
            "pub async fn long<",
            "pub async fn other(of: Vec<u8>) {",
            "pub async fn another(",
        ];
        assert!(super::promises(&lines.join("\n")).eq(["short", "long"]));
    }
}
