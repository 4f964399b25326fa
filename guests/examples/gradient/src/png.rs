//! Writes PNG images, true colour with eight bits a channel.
//!
//! The rows go in as they are, in DEFLATE's stored blocks: no compression, and no dependency that
//! compresses. The format is in the PNG specification (RFC 2083), zlib (RFC 1950) and DEFLATE (RFC
//! 1951).

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
const STORED_BLOCK_BYTES_MAX: usize = 65_535;

/// `pixels` are the rows from the top, each pixel red, green, blue.
pub fn encode(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    // Bit depth 8, colour type 2 (RGB), then the only compression and filter methods, and no
    // interlacing.
    header.extend_from_slice(&[8, 2, 0, 0, 0]);

    let mut rows = Vec::with_capacity(pixels.len() + height as usize);
    for row in pixels.chunks(width as usize * 3) {
        rows.push(0); // This row is not filtered.
        rows.extend_from_slice(row);
    }

    let mut png = Vec::with_capacity(rows.len() + 1024);
    png.extend_from_slice(&SIGNATURE);
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IDAT", &zlib_stored(&rows));
    chunk(&mut png, b"IEND", &[]);
    png
}

/// Length, name, data, and the CRC of name and data.
fn chunk(png: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    png.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend_from_slice(name);
    png.extend_from_slice(data);
    let sum = crc32(&png[start..]);
    png.extend_from_slice(&sum.to_be_bytes());
}

/// A zlib stream of stored blocks: per block a flag that marks the last, the length, and its
/// complement.
fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(STORED_BLOCK_BYTES_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        stream.push(blocks.peek().is_none() as u8);
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&adler32(data).to_be_bytes());
    stream
}

const fn crc32_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

static CRC32_TABLE: [u32; 256] = crc32_table();

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |sum, &byte| CRC32_TABLE[(sum as u8 ^ byte) as usize] ^ (sum >> 8))
}

fn adler32(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    /// As many bytes as can be summed up before the sums could overflow.
    const RUN_BYTES: usize = 5_552;
    let (mut low, mut high) = (1, 0);
    for run in data.chunks(RUN_BYTES) {
        for &byte in run {
            low += u32::from(byte);
            high += low;
        }
        low %= MODULUS;
        high %= MODULUS;
    }
    high << 16 | low
}
