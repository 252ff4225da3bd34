//! How an answer is compressed, where its client takes that.

use std::cmp::Ordering;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::{self, HeaderMap, HeaderValue};

/// A content coding (RFC 9110, section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
    Deflate,
}

/// How much work an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// It is compressed for one client, while that one waits.
    Once,
    /// It is compressed once for all.
    Kept,
}

impl Coding {
    /// The one of these codings that a client likes best (RFC 9110, section 12.5.3): the largest
    /// weight wins, then a name over `*`, then what the client names first, then the order of
    /// `ours`. None where it names none, or refuses them by a weight of 0. A weight that is no
    /// number counts as 0.
    pub(super) fn preferred(fields: &HeaderMap, ours: &[Self]) -> Option<Self> {
        let values = fields.get_all(header::ACCEPT_ENCODING).into_iter();
        let accepted: Vec<(&str, f32)> = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(weighed)
            .collect();
        let rated = ours.iter().filter_map(|coding| {
            let rating = coding.rating(&accepted)?;
            (rating.weight > 0.0).then_some((rating, *coding))
        });
        // Of equal ones the first is taken.
        let better = |best: (Rating, Self), next: (Rating, Self)| match next.0.against(&best.0) {
            Ordering::Greater => next,
            Ordering::Less | Ordering::Equal => best,
        };
        rated.reduce(better).map(|(_, coding)| coding)
    }

    /// What a client says of this coding: by its name, or else by `*`.
    fn rating(self, accepted: &[(&str, f32)]) -> Option<Rating> {
        let find = |name: &str| {
            let items = accepted.iter().enumerate();
            let named = items.filter(|(_, (item, _))| item.eq_ignore_ascii_case(name));
            let (place, (_, weight)) = named.max_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
            Some(Rating {
                weight: *weight,
                is_named: name != "*",
                place,
            })
        };
        find(self.as_str()).or_else(|| find("*"))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// As the value of a header.
    pub(super) const fn name(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }

    /// Compresses a body. `None` never, as far as we know: writing to memory does not fail.
    pub(super) fn encode(self, body: &[u8], effort: Effort) -> Option<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 2);
        let (level, quality) = match effort {
            Effort::Once => (Compression::fast(), 1),
            // Above 9 Brotli takes several times as long for a few per cent.
            Effort::Kept => (Compression::default(), 9),
        };
        let encoded: io::Result<Vec<u8>> = match self {
            Self::Brotli => brotli_encode(body, out, quality),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        };
        encoded.ok()
    }
}

fn brotli_encode(body: &[u8], mut out: Vec<u8>, quality: i32) -> io::Result<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        size_hint: body.len(),
        ..Default::default()
    };
    let mut body = body;
    brotli::BrotliCompress(&mut body, &mut out, &params)?;
    Ok(out)
}

/// What a client says of a coding.
#[derive(Debug, Clone, Copy)]
struct Rating {
    weight: f32,
    is_named: bool,
    place: usize,
}

impl Rating {
    fn against(&self, other: &Self) -> Ordering {
        self.weight
            .total_cmp(&other.weight)
            .then(self.is_named.cmp(&other.is_named))
            .then(other.place.cmp(&self.place))
    }
}

/// A coding and its weight, 1 where none is given.
fn weighed(item: &str) -> (&str, f32) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.eq_ignore_ascii_case("q").then_some(value)
    });
    let weight = weight.map_or(Some(1.0), |text| text.parse().ok());
    (
        name,
        weight
            .filter(|weight: &f32| weight.is_finite())
            .unwrap_or(0.0),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Brotli, Coding::Gzip, Coding::Deflate];

    /// Each row as the npm packages `accepts` 1.3 and `negotiator` 0.6 decide it, which the
    /// reference asks.
    #[test]
    fn the_client_s_favourite_is_taken() {
        let check = |accepted: &'static str, expected| {
            let mut fields = HeaderMap::new();
            fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(Coding::preferred(&fields, &ALL), expected, "{accepted}");
        };
        check("gzip, deflate, br", Some(Coding::Gzip));
        check("br, gzip", Some(Coding::Brotli));
        check("gzip, deflate, br, zstd", Some(Coding::Gzip));
        check("gzip;q=0.8, br", Some(Coding::Brotli));
        check("gzip;q=0.8,br;q=0.9,deflate;q=1.0", Some(Coding::Deflate));
        check("GZIP;q=0.5", Some(Coding::Gzip));
        check("gzip;q=0, deflate;q=0.000", None);
        check("br;q=0, *", Some(Coding::Gzip));
        check("*", Some(Coding::Brotli));
        check("*, deflate", Some(Coding::Deflate));
        check("*;q=0, gzip", Some(Coding::Gzip));
        check("*;q=0", None);
        check("deflate;q=x", None);
        check("identity", None);
        check("identity;q=1, br;q=0.1", Some(Coding::Brotli));
        check("gzip;q=0.1, gzip, br;q=0.5", Some(Coding::Gzip));
        check("br;q=nan, gzip;q=0.1", Some(Coding::Gzip));
        check("", None);
        assert_eq!(Coding::preferred(&HeaderMap::new(), &ALL), None);
    }

    #[test]
    fn what_we_do_not_speak_is_not_taken() {
        let mut fields = HeaderMap::new();
        fields.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        let ours = [Coding::Gzip, Coding::Deflate];
        assert_eq!(Coding::preferred(&fields, &ours), None);
        fields.append(header::ACCEPT_ENCODING, HeaderValue::from_static("deflate"));
        assert_eq!(Coding::preferred(&fields, &ours), Some(Coding::Deflate));
    }

    #[test]
    fn what_is_compressed_can_be_read() {
        let text = "a room, a member, a message. ".repeat(100);
        for coding in ALL {
            for effort in [Effort::Once, Effort::Kept] {
                let body = coding.encode(text.as_bytes(), effort).expect("a body");
                assert!(body.len() < text.len() / 4, "{coding:?} {effort:?}");
                let mut read = String::new();
                let done = match coding {
                    Coding::Brotli => {
                        brotli::Decompressor::new(&*body, 4096).read_to_string(&mut read)
                    }
                    Coding::Gzip => flate2::read::GzDecoder::new(&*body).read_to_string(&mut read),
                    Coding::Deflate => {
                        flate2::read::ZlibDecoder::new(&*body).read_to_string(&mut read)
                    }
                };
                assert!(done.is_ok() && read == text, "{coding:?} {effort:?}");
            }
        }
    }
}
