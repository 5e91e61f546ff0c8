//! A layer's tar, whatever it is compressed with.

use std::io::{self, BufReader, Read};

use bytes::Bytes;
use compression::Decoder;
use flate2::bufread::MultiGzDecoder;

use crate::limits::{LAYER_BYTES_MAX, PIECE_BYTES};

/// Reads what comes out: gzip and zstd are told by their first bytes, anything else is taken as it is. More than
/// [`LAYER_BYTES_MAX`] is an error.
pub struct Decompressed<R: Read> {
    inner: Inner<R>,
    left_bytes: u64,
}

enum Inner<R: Read> {
    Plain(Chained<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Chained<R>>>>),
    Zstd(Box<Zstd<Chained<R>>>),
}

/// What was read to tell the kind, and the rest.
type Chained<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

impl<R: Read> Decompressed<R> {
    /// Looks at the first bytes.
    pub fn new(mut reader: R) -> io::Result<Self> {
        let mut beginning = Vec::with_capacity(ZSTD.len());
        reader
            .by_ref()
            .take(ZSTD.len() as u64)
            .read_to_end(&mut beginning)?;
        let is_gzip = beginning.starts_with(GZIP);
        let is_zstd = beginning.starts_with(ZSTD);
        let whole = io::Cursor::new(beginning).chain(reader);
        let inner = if is_gzip {
            Inner::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(whole))))
        } else if is_zstd {
            Inner::Zstd(Box::new(Zstd::new(whole)?))
        } else {
            Inner::Plain(whole)
        };
        Ok(Decompressed {
            inner,
            left_bytes: LAYER_BYTES_MAX,
        })
    }

    /// The compressed bytes that nobody has asked for yet: what follows the end of a tar is a part of its digest too.
    pub fn into_rest(self) -> impl Read {
        match self.inner {
            Inner::Plain(rest) => Rest::Unbuffered(rest),
            Inner::Gzip(decoder) => Rest::Buffered(decoder.into_inner()),
            Inner::Zstd(zstd) => Rest::Unbuffered(zstd.reader),
        }
    }
}

enum Rest<R: Read> {
    Unbuffered(Chained<R>),
    Buffered(BufReader<Chained<R>>),
}

impl<R: Read> Read for Rest<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Rest::Unbuffered(rest) => rest.read(buffer),
            Rest::Buffered(rest) => rest.read(buffer),
        }
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::Plain(reader) => reader.read(buffer),
            Inner::Gzip(reader) => reader.read(buffer),
            Inner::Zstd(reader) => reader.read(buffer),
        }?;
        self.left_bytes = self.left_bytes.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "a layer has more than {LAYER_BYTES_MAX} bytes when it is decompressed"
            ))
        })?;
        Ok(read)
    }
}

struct Zstd<R: Read> {
    reader: R,
    decoder: Decoder,
    output: Bytes,
}

impl<R: Read> Zstd<R> {
    fn new(reader: R) -> io::Result<Self> {
        Ok(Zstd {
            reader,
            decoder: Decoder::new(LAYER_BYTES_MAX).map_err(io::Error::other)?,
            output: Bytes::new(),
        })
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Ends: each round has output, or takes input of which there is an end.
        while self.output.is_empty() {
            if let Some(output) = self.decoder.next_output().map_err(io::Error::other)? {
                self.output = output;
                continue;
            }
            let mut piece = vec![0; PIECE_BYTES];
            let read = self.reader.read(&mut piece)?;
            if read == 0 {
                self.decoder.finish().map_err(io::Error::other)?;
                return Ok(0);
            }
            piece.truncate(read);
            self.decoder.push(piece.into()).map_err(io::Error::other)?;
        }
        let length = buffer.len().min(self.output.len());
        buffer[..length].copy_from_slice(&self.output.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn all_kinds_come_out_the_same() {
        let plain: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = compression::compress_all(plain.clone().into()).unwrap();
        for compressed in [plain.clone(), gzip.finish().unwrap(), zstd.to_vec()] {
            let mut out = Vec::new();
            Decompressed::new(&compressed[..])
                .unwrap()
                .read_to_end(&mut out)
                .unwrap();
            assert!(out == plain);
            if compressed.len() != plain.len() {
                let cut = &compressed[..compressed.len() - 9];
                assert!(
                    Decompressed::new(cut)
                        .unwrap()
                        .read_to_end(&mut Vec::new())
                        .is_err()
                );
            }
        }
        let mut out = Vec::new();
        Decompressed::new(&b""[..])
            .unwrap()
            .read_to_end(&mut out)
            .unwrap();
        assert!(out.is_empty());
    }
}
