//! Reading the query of a URL: `a=1&b=two%20words`.

use crate::hostcalls::text_of;
use http::Uri;

/// The first value of a parameter of the URL's query, decoded; `None` when it is not there.
pub fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query().unwrap_or("").split('&');
    pairs
        .map(|pair| match pair.find('=') {
            Some(end) => (&pair[..end], &pair[end + 1..]),
            None => (pair, ""),
        })
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

/// Replaces `%20` and the like by what they stand for, and `+` by a space. A `%` that no two
/// hexadecimal digits follow stays; bytes that are not UTF-8 become replacement characters.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, hexadecimal(after)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    text_of(bytes)
}

/// The byte that the first two digits of a text stand for.
fn hexadecimal(text: &[u8]) -> Option<u8> {
    let digit = |index: usize| char::from(*text.get(index)?).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
}
