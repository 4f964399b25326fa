//! Guests for `test/bench/fuel.ts`: each export does one kind of real work `rounds` times and answers a checksum.

use std::fmt::Write;

fn text(bytes: usize) -> String {
    let words = [
        "the", "sealed", "glass", "case", "in", "which", "ferns", "travelled", "across", "oceans",
        "2021-07-04", "someone@example.org", "wardian", "192.168.0.17", "and", "arrived", "alive",
    ];
    let mut seed: u32 = 12345;
    let mut out = String::with_capacity(bytes + 32);
    while out.len() < bytes {
        seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        out.push_str(words[(seed >> 16) as usize % words.len()]);
        out.push(if seed >> 28 == 0 { '\n' } else { ' ' });
    }
    out
}

fn fold(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte))
}

#[no_mangle]
pub extern "C" fn sha256(rounds: u32) -> u32 {
    use sha2::{Digest, Sha256};
    let data = text(64 * 1024);
    let mut sum = 0;
    for _ in 0..rounds {
        sum = fold(sum, &Sha256::digest(data.as_bytes()));
    }
    sum
}

#[no_mangle]
pub extern "C" fn json(rounds: u32) -> u32 {
    let mut document = String::from("[");
    for i in 0..400 {
        let comma = if i == 0 { "" } else { "," };
        write!(
            document,
            "{comma}{{\"id\":{i},\"name\":\"case {i}\",\"ratio\":{}.{:02},\"tags\":[\"fern\",\"moss\\n\"],\
             \"open\":{},\"inner\":{{\"depth\":null,\"list\":[1,2,3,-4.5e3]}}}}",
            i * 7, i % 100, i % 3 == 0
        )
        .unwrap();
    }
    document.push(']');
    let mut sum = 0;
    for _ in 0..rounds {
        let value: serde_json::Value = serde_json::from_str(&document).unwrap();
        sum = fold(sum, serde_json::to_string(&value).unwrap().as_bytes());
    }
    sum
}

#[no_mangle]
pub extern "C" fn regex(rounds: u32) -> u32 {
    let data = text(32 * 1024);
    let patterns = [
        regex::Regex::new(r"[a-z]+@[a-z]+\.(org|com)").unwrap(),
        regex::Regex::new(r"(\d{4})-(\d{2})-(\d{2})").unwrap(),
        regex::Regex::new(r"(?:\d{1,3}\.){3}\d{1,3}").unwrap(),
    ];
    let mut sum = 0;
    for _ in 0..rounds {
        for pattern in &patterns {
            for found in pattern.find_iter(&data) {
                sum = fold(sum, found.as_str().as_bytes());
            }
        }
    }
    sum
}

#[no_mangle]
pub extern "C" fn markdown(rounds: u32) -> u32 {
    let mut source = String::new();
    for (i, line) in text(16 * 1024).lines().enumerate() {
        match i % 6 {
            0 => writeln!(source, "## {line}\n").unwrap(),
            1 => writeln!(source, "- *{line}*\n- [a link](http://example.org/{i})\n").unwrap(),
            2 => writeln!(source, "> {line}\n").unwrap(),
            3 => writeln!(source, "```\n{line}\n```\n").unwrap(),
            _ => writeln!(source, "{line} **strong** and `code`\n").unwrap(),
        }
    }
    let mut sum = 0;
    for _ in 0..rounds {
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, pulldown_cmark::Parser::new(&source));
        sum = fold(sum, html.as_bytes());
    }
    sum
}

#[no_mangle]
pub extern "C" fn compression(rounds: u32) -> u32 {
    let data = text(32 * 1024);
    let mut sum = 0;
    for _ in 0..rounds {
        let packed = miniz_oxide::deflate::compress_to_vec(data.as_bytes(), 6);
        let unpacked = miniz_oxide::inflate::decompress_to_vec(&packed).unwrap();
        sum = fold(fold(sum, &packed), &unpacked[..64]);
    }
    sum
}
