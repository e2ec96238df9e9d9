//! Transfer encodings, character sets, encoded words, parameters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{ContentType, Decoder, TransferEncoding, decode_charset, decode_header, partial};

fuzz_target!(|data: (&[u8], u64, u64, &[u8])| {
    let (label, start, length, input) = data;
    let _ = (decode_header(input), decode_charset(label, input), ContentType::parse(input));
    if let Some(encoding) = TransferEncoding::parse(label) {
        let _ = encoding.decode(input);
    }
    for name in ["base64", "quoted-printable", "8bit"] {
        if let Some(encoding) = TransferEncoding::parse(name.as_bytes()) {
            let whole = encoding.decode(input);
            assert!(whole.len() <= input.len());
            let (mut decoder, mut plain) = (Decoder::new(encoding), Vec::new());
            for piece in input.chunks(1 + usize::from(start as u16)) {
                decoder.push(piece, &mut plain);
            }
            decoder.finish(&mut plain);
            assert_eq!(plain, *whole);
        }
    }
    assert!(partial(input, start, length).len() as u64 <= length);
});
