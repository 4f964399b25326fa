//! Draws a picture, 256 by 256 pixels, red growing to the right and green downwards, and sends it
//! as a PNG.

mod png;

use http_guest::{guest_app, Request, Response};

const SIDE: u32 = 256;

fn pixel(x: u32, y: u32) -> [u8; 3] {
    let blue = SIDE.abs_diff(x + y).min(255);
    [x as u8, y as u8, blue as u8]
}

fn gradient(_request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    let mut pixels = Vec::with_capacity((SIDE * SIDE * 3) as usize);
    for y in 0..SIDE {
        for x in 0..SIDE {
            pixels.extend_from_slice(&pixel(x, y));
        }
    }
    Response::builder()
        .header("content-type", "image/png")
        .body(png::encode(SIDE, SIDE, &pixels))
        .unwrap()
}

guest_app!(gradient);
