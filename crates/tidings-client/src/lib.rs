#![doc = include_str!("../README.md")]

/// The script: the client, with the connection that tabs share. It defines the global `tidings`, and needs no module, no inline
/// script and no other origin.
pub const JS: &str = include_str!("../assets/tidings.js");

/// The script's `Content-Type`.
pub const CONTENT_TYPE: &str = "text/javascript; charset=utf-8";

/// The script's `ETag`, with its quotes. It is another one for each version of the script.
pub const ETAG: &str = match std::str::from_utf8(&ETAG_BYTES) {
    Ok(etag) => etag,
    Err(_) => panic!("hexadecimal digits"),
};

const ETAG_BYTES: [u8; 18] = etag(JS.as_bytes());

/// Whether a client whose request has this `If-None-Match` has the script, and is answered with 304 and no body.
#[must_use]
pub fn is_current(if_none_match: &str) -> bool {
    // A proxy that compresses makes an ETag weak.
    let mut known = if_none_match.split(',').map(|etag| etag.trim().trim_start_matches("W/"));
    known.any(|etag| etag == ETAG || etag == "*")
}

/// The FNV-1a hash in quotes. It tells versions apart, and protects nothing.
const fn etag(bytes: &[u8]) -> [u8; 18] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    let mut etag = [b'"'; 18];
    let mut i = 0;
    while i < 16 {
        etag[i + 1] = DIGITS[(hash >> (60 - 4 * i)) as usize & 0xf];
        i += 1;
    }
    etag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etag_is_quoted_and_follows_from_the_script() {
        // The test vectors of FNV-1a.
        assert_eq!(&etag(b""), b"\"cbf29ce484222325\"");
        assert_eq!(&etag(b"foobar"), b"\"85944171f73967e8\"");
        assert_eq!(ETAG.as_bytes(), etag(JS.as_bytes()));
    }

    #[test]
    fn a_client_that_has_the_script_is_not_sent_it_again() {
        for known in
            [ETAG.to_owned(), format!("\"other\", {ETAG}"), format!("W/{ETAG}"), "*".into()]
        {
            assert!(is_current(&known), "{known}");
        }
        for unknown in ["", "\"cbf29ce484222325\"", ETAG.trim_matches('"')] {
            assert!(!is_current(unknown), "{unknown}");
        }
    }

    #[test]
    fn script_defines_the_global() {
        assert!(JS.contains("var tidings="));
    }
}
