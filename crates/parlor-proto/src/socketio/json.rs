//! JSON text as tokens, in one pass, without recursion and without a value in memory.

use std::borrow::Cow;
use std::ops::Range;

use super::DecodeError;

/// The deepest nesting of arrays and objects that is read.
pub const DEPTH_MAX: usize = 128;

/// A token of a JSON text; texts and numbers with where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    ArrayStart,
    ArrayEnd,
    ObjectStart,
    ObjectEnd,
    /// A key, with its quotes.
    Key(Range<usize>),
    /// A string, with its quotes.
    String(Range<usize>),
    Number(Range<usize>),
    True,
    False,
    Null,
}

/// Reads tokens, and refuses what RFC 8259 does not allow.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// A bit for each level, the innermost lowest: 1 for an object.
    objects: u128,
    expected: Expected,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
    End,
}

impl Scanner<'_> {
    /// Where the next token is looked for.
    pub(super) const fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            objects: 0,
            expected: Expected::Value,
        }
    }

    /// How many arrays and objects are open.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// The text of a token.
    pub(super) fn get(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The next token; none at the end of a whole text.
    pub(super) fn next(&mut self) -> Result<Option<Token>, DecodeError> {
        loop {
            self.skip_space();
            let Some(byte) = self.peek() else {
                return match self.expected {
                    Expected::End => Ok(None),
                    _ => Err(DecodeError::MalformedJson),
                };
            };
            match (self.expected, byte) {
                (Expected::Value | Expected::ValueOrEnd, b'[' | b'{') => {
                    return self.open(byte == b'{').map(Some);
                }
                (Expected::ValueOrEnd | Expected::CommaOrEnd, b']') if !self.in_object() => {
                    return Ok(Some(self.close(Token::ArrayEnd)));
                }
                (Expected::KeyOrEnd | Expected::CommaOrEnd, b'}') if self.in_object() => {
                    return Ok(Some(self.close(Token::ObjectEnd)));
                }
                (Expected::Value | Expected::ValueOrEnd, _) => {
                    let token = self.scalar(byte)?;
                    self.after_value();
                    return Ok(Some(token));
                }
                (Expected::Key | Expected::KeyOrEnd, b'"') => return self.key().map(Some),
                (Expected::CommaOrEnd, b',') => {
                    self.at += 1;
                    self.expected = if self.in_object() {
                        Expected::Key
                    } else {
                        Expected::Value
                    };
                }
                _ => return Err(DecodeError::MalformedJson),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn open(&mut self, object: bool) -> Result<Token, DecodeError> {
        if self.depth == DEPTH_MAX {
            return Err(DecodeError::LimitDepth);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.at += 1;
        Ok(if object {
            self.expected = Expected::KeyOrEnd;
            Token::ObjectStart
        } else {
            self.expected = Expected::ValueOrEnd;
            Token::ArrayStart
        })
    }

    fn close(&mut self, token: Token) -> Token {
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        self.after_value();
        token
    }

    const fn after_value(&mut self) {
        self.expected = if self.depth == 0 {
            Expected::End
        } else {
            Expected::CommaOrEnd
        };
    }

    fn key(&mut self) -> Result<Token, DecodeError> {
        let range = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(DecodeError::MalformedJson);
        }
        self.at += 1;
        self.expected = Expected::Value;
        Ok(Token::Key(range))
    }

    fn scalar(&mut self, first: u8) -> Result<Token, DecodeError> {
        match first {
            b'"' => self.string().map(Token::String),
            b't' => self.word("true", Token::True),
            b'f' => self.word("false", Token::False),
            b'n' => self.word("null", Token::Null),
            _ => self.number().map(Token::Number),
        }
    }

    fn word(&mut self, word: &str, token: Token) -> Result<Token, DecodeError> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) != Some(word.as_bytes()) {
            return Err(DecodeError::MalformedJson);
        }
        self.at = end;
        Ok(token)
    }

    fn string(&mut self) -> Result<Range<usize>, DecodeError> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain_len(rest).ok_or(DecodeError::MalformedJson)? + 1;
            match self.text.as_bytes().get(self.at - 1) {
                Some(b'"') => return Ok(start..self.at),
                Some(b'\\') => self.escape()?,
                _ => return Err(DecodeError::MalformedJson),
            }
        }
    }

    fn escape(&mut self) -> Result<(), DecodeError> {
        let bytes = self.text.as_bytes();
        let len = match bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
            Some(b'u') => {
                let digits = bytes.get(self.at + 1..self.at + 5).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(DecodeError::MalformedJson);
                }
                5
            }
            _ => return Err(DecodeError::MalformedJson),
        };
        self.at += len;
        Ok(())
    }

    fn number(&mut self) -> Result<Range<usize>, DecodeError> {
        let start = self.at;
        self.skip(|byte| byte == b'-', 1);
        let zero = self.peek() == Some(b'0');
        let digits = self.skip(|byte| byte.is_ascii_digit(), usize::MAX);
        let mut good = digits == 1 || digits > 1 && !zero;
        if self.skip(|byte| byte == b'.', 1) == 1 {
            good &= self.skip(|byte| byte.is_ascii_digit(), usize::MAX) > 0;
        }
        if self.skip(|byte| matches!(byte, b'e' | b'E'), 1) == 1 {
            self.skip(|byte| matches!(byte, b'+' | b'-'), 1);
            good &= self.skip(|byte| byte.is_ascii_digit(), usize::MAX) > 0;
        }
        if good {
            Ok(start..self.at)
        } else {
            Err(DecodeError::MalformedJson)
        }
    }

    /// Goes over at most that many bytes of a kind; how many there were.
    fn skip(&mut self, is: fn(u8) -> bool, most: usize) -> usize {
        let mut count = 0;
        while count < most && self.peek().is_some_and(is) {
            self.at += 1;
            count += 1;
        }
        count
    }
}

/// How many bytes there are before a quote, a backslash or a control character; none where there
/// is none of them. Most text is long and plain, so eight bytes are looked at in one go.
fn plain_len(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = special_in(*word) {
            return Some(index * 8 + at);
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    let at = rest.iter().position(special);
    at.map(|at| bytes.len() - rest.len() + at)
}

/// Where the first quote, backslash or control character is: a byte is below a small number where
/// subtracting it borrows from a top bit that was not set. What is borrowed from goes wrong only
/// behind the first of them.
const fn special_in(word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let word = u64::from_le_bytes(word);
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let found = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    match found & TOPS {
        0 => None,
        found => Some(found.trailing_zeros() as usize / 8),
    }
}

/// The text that a JSON string means; none where `raw` is something else. Half of a surrogate pair
/// becomes U+FFFD, because there is no such text in Rust.
#[must_use]
pub fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let escaped = chars.next()?;
        rest = chars.as_str();
        match escaped {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{C}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => rest = unicode(rest, &mut out)?,
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// What four hexadecimal digits mean, or eight in two escapes; and what follows them.
fn unicode<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let high = unit(text)?;
    let rest = text.get(4..)?;
    if (0xD800..0xDC00).contains(&high)
        && let Some(second) = rest.strip_prefix("\\u")
        && let Some(low) = unit(second).filter(|low| (0xDC00..0xE000).contains(low))
    {
        let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return second.get(4..);
    }
    out.push(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(rest)
}

/// Appends text as a JSON string.
pub fn escape_into(text: &str, out: &mut String) {
    out.push('"');
    if plain_len(text.as_bytes()).is_none() {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1F => "",
            _ => continue,
        };
        out.push_str(text.get(start..at).unwrap_or_default());
        if escaped.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escaped);
        }
        start = at + 1;
    }
    out.push_str(text.get(start..).unwrap_or_default());
    out.push('"');
}

/// Where the first element of a JSON array stands, and where those behind it begin: at the closing
/// bracket where there are none. None where the text is no array, or an empty one.
#[must_use]
pub fn first_element(array: &str) -> Option<(Range<usize>, usize)> {
    let mut elements = Elements::new(array);
    let first = elements.next()?;
    let mut scanner = elements.scanner?;
    let end = scanner.at;
    scanner.skip_space();
    let behind = scanner.at + usize::from(scanner.peek() == Some(b','));
    Some((end - first.len()..end, behind))
}

/// The value of a key of an object, as JSON text; of the last one where the key stands twice.
/// None where `object` is no object or there is no such key.
#[must_use]
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut scanner = Scanner::new(object);
    if scanner.next().ok()?? != Token::ObjectStart {
        return None;
    }
    let mut found = None;
    while let Token::Key(range) = scanner.next().ok()?? {
        let here = unescape(scanner.get(&range))? == key;
        let value = scanner.value()?;
        if here {
            found = Some(value);
        }
    }
    found
}

impl<'a> Scanner<'a> {
    /// The text of the whole value that comes next.
    fn value(&mut self) -> Option<&'a str> {
        let depth = self.depth;
        let first = self.next().ok()??;
        let start = match first {
            Token::String(range) | Token::Number(range) => return Some(self.get(&range)),
            Token::True | Token::Null => self.at - 4,
            Token::False => self.at - 5,
            Token::ArrayStart | Token::ObjectStart => self.at - 1,
            Token::ArrayEnd | Token::ObjectEnd | Token::Key(_) => return None,
        };
        if self.depth > depth {
            self.pass(depth)?;
        }
        Some(self.get(&(start..self.at)))
    }

    /// Goes to the end of what was opened at a depth. Brackets are counted and nothing is checked:
    /// whoever takes a text apart has checked it as a whole.
    fn pass(&mut self, depth: usize) -> Option<()> {
        let mut open = 1;
        while open > 0 {
            match self.peek()? {
                b'"' => {
                    self.string().ok()?;
                    continue;
                }
                b'[' | b'{' => open += 1,
                b']' | b'}' => open -= 1,
                _ => {}
            }
            self.at += 1;
        }
        self.objects >>= self.depth - depth;
        self.depth = depth;
        self.after_value();
        Some(())
    }
}

/// The elements of a JSON array, each as JSON text; none where the text is no array.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    scanner: Option<Scanner<'a>>,
}

impl<'a> Elements<'a> {
    /// Prepares to go over an array.
    #[must_use]
    pub fn new(array: &'a str) -> Self {
        let mut scanner = Scanner::new(array);
        let is_array = scanner.next() == Ok(Some(Token::ArrayStart));
        Self {
            scanner: is_array.then_some(scanner),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let element = self.scanner.as_mut()?.value();
        if element.is_none() {
            self.scanner = None;
        }
        element
    }
}
