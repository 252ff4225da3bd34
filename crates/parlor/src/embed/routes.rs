//! Which endpoint stands at a path.

use percent_encoding::percent_decode_str;
use std::{fmt, sync::Arc};

use super::{Refusal, agent::Serve, head::Params};

/// The endpoints of a server, by their patterns.
#[derive(Default, Clone)]
pub(crate) struct Routes {
    routes: Vec<(Pattern, Arc<dyn Serve>)>,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.routes.iter().map(|(pattern, _)| &pattern.text);
        f.debug_list().entries(patterns).finish()
    }
}

/// A path with names for some of its segments.
#[derive(Debug, Clone)]
struct Pattern {
    text: Box<str>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Exactly this.
    Literal(Box<str>),
    /// `{name}`: one segment that is not empty.
    One(Box<str>),
    /// `{*name}`: everything that is left, at least one character.
    Rest(Box<str>),
}

/// A path that no endpoint can stand at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is not made of `/literal`, `/{name}` and, at its end, `/{*name}`.
    #[error("`{0}` is not a path: write /literal, /{{name}} and, at the end, /{{*name}}")]
    Malformed(String),
    /// The path of Engine.IO does not begin and end with a slash, or is the root.
    #[error("`{0}` is not a path of Engine.IO: write /engine.io/, with a slash at both ends")]
    Prefix(String),
    /// Two parts have the same name.
    #[error("`{0}` names two parts alike")]
    NameTwice(String),
    /// Another endpoint, or a built-in door that is open, stands at the same paths.
    #[error("`{0}` is the path of another endpoint or door already")]
    Taken(String),
}

impl Routes {
    /// Puts an endpoint at a path.
    pub(crate) fn add(&mut self, path: &str, serve: Arc<dyn Serve>) -> Result<(), PatternError> {
        let pattern = Pattern::parse(path)?;
        if self.routes.iter().any(|(other, _)| other.is_same(&pattern)) {
            return Err(PatternError::Taken(path.to_owned()));
        }
        // A literal wins over a name, a name over the rest, at the first segment that differs.
        let at = self
            .routes
            .partition_point(|(other, _)| other.rank() <= pattern.rank());
        self.routes.insert(at, (pattern, serve));
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Whether an endpoint stands at a path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.routes.iter().any(|(pattern, _)| pattern.fits(path))
    }

    /// The endpoint at a path, with the parts that its pattern names.
    ///
    /// # Errors
    ///
    /// 404 where there is none, 400 where such a part is not UTF-8, or has a control character.
    pub(crate) fn find(&self, path: &str) -> Result<(&Arc<dyn Serve>, Params), Refusal> {
        let mut routes = self.routes.iter();
        let found = routes.find(|(pattern, _)| pattern.fits(path));
        let (pattern, serve) = found.ok_or_else(|| Refusal::new(404, "no such endpoint"))?;
        let params = pattern.params(path).ok_or_else(|| {
            Refusal::bad_request("a part of the path is not UTF-8, or has a control character")
        })?;
        Ok((serve, params))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let malformed = || PatternError::Malformed(text.to_owned());
        let rest = text.strip_prefix('/').ok_or_else(malformed)?;
        let segments: Vec<Segment> = rest
            .split('/')
            .map(Segment::parse)
            .collect::<Option<_>>()
            .ok_or_else(malformed)?;
        let before_last = segments.len() - 1;
        let mut names = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            match segment {
                Segment::Rest(_) if index != before_last => return Err(malformed()),
                Segment::One(name) | Segment::Rest(name) if names.contains(name) => {
                    return Err(PatternError::NameTwice(text.to_owned()));
                }
                Segment::One(name) | Segment::Rest(name) => names.push(name.clone()),
                Segment::Literal(_) => {}
            }
        }
        Ok(Self {
            text: text.into(),
            segments,
        })
    }

    fn rank(&self) -> Vec<u8> {
        self.segments.iter().map(Segment::rank).collect()
    }

    /// Whether both fit the same paths.
    fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.segments.iter().zip(&other.segments);
        self.segments.len() == other.segments.len()
            && pairs.all(|(a, b)| match (a, b) {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (a, b) => a.rank() == b.rank(),
            })
    }

    fn fits(&self, path: &str) -> bool {
        let Some(mut rest) = path.strip_prefix('/') else {
            return false;
        };
        let last = self.segments.len() - 1;
        for (index, segment) in self.segments.iter().enumerate() {
            if matches!(segment, Segment::Rest(_)) {
                return !rest.is_empty();
            }
            let (own, behind) = match rest.split_once('/') {
                Some((own, behind)) => (own, Some(behind)),
                None => (rest, None),
            };
            let fits = match segment {
                Segment::Literal(literal) => **literal == *own,
                Segment::One(_) | Segment::Rest(_) => !own.is_empty(),
            };
            match behind {
                Some(behind) if fits && index < last => rest = behind,
                None if fits => return index == last,
                _ => return false,
            }
        }
        false
    }

    /// The named parts of a path that fits.
    fn params(&self, path: &str) -> Option<Params> {
        let mut params = Params::new();
        let mut rest = path.strip_prefix('/')?;
        for segment in &self.segments {
            let (own, behind) = match segment {
                Segment::Rest(_) => (rest, ""),
                _ => rest.split_once('/').unwrap_or((rest, "")),
            };
            if let Segment::One(name) | Segment::Rest(name) = segment {
                let value = percent_decode_str(own).decode_utf8().ok()?;
                if value.chars().any(char::is_control) {
                    return None;
                }
                params.push((name.clone(), value.into()));
            }
            rest = behind;
        }
        Some(params)
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        let Some(name) = text.strip_prefix('{') else {
            // `:name` is how others write `{name}`: it would stand for nothing but itself.
            let plain = !text.contains(['{', '}', '?', '#', '*']) && !text.starts_with(':');
            return plain.then(|| Self::Literal(text.into()));
        };
        let name = name.strip_suffix('}')?;
        let (name, rest) = match name.strip_prefix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(word) {
            return None;
        }
        Some(match rest {
            true => Self::Rest(name.into()),
            false => Self::One(name.into()),
        })
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::One(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::Endpoint;

    fn routes(patterns: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for pattern in patterns {
            routes
                .add(pattern, Arc::new(Arc::new(Endpoint::new())))
                .unwrap();
        }
        routes
    }

    fn found(routes: &Routes, path: &str) -> Option<String> {
        let (pattern, _) = routes.routes.iter().find(|(p, _)| p.fits(path))?;
        let params = pattern.params(path);
        Some(format!("{} {params:?}", pattern.text))
    }

    #[test]
    fn the_most_literal_pattern_wins() {
        let patterns = [
            "/{*rest}",
            "/chat/{room}",
            "/chat/lobby",
            "/",
            "/a/{x}/b/{y}",
        ];
        let routes = routes(&patterns);
        let rows = [
            ("/", Some("/ Some([])")),
            ("/chat/lobby", Some("/chat/lobby Some([])")),
            ("/chat/tea", Some(r#"/chat/{room} Some([("room", "tea")])"#)),
            ("/chat/", Some(r#"/{*rest} Some([("rest", "chat/")])"#)),
            (
                "/chat/a%2Fb",
                Some(r#"/chat/{room} Some([("room", "a/b")])"#),
            ),
            (
                "/chat/a/b",
                Some(r#"/{*rest} Some([("rest", "chat/a/b")])"#),
            ),
            (
                "/a/1/b/2",
                Some(r#"/a/{x}/b/{y} Some([("x", "1"), ("y", "2")])"#),
            ),
            ("/chat/%ff", Some("/chat/{room} None")),
            ("/chat/%0a", Some("/chat/{room} None")),
            ("", None),
            ("chat", None),
        ];
        for (path, expected) in rows {
            assert_eq!(found(&routes, path).as_deref(), expected, "{path}");
            assert_eq!(routes.has(path), expected.is_some());
        }
        assert_eq!(routes.find("/chat/%ff").err().unwrap().status(), 400);
    }

    #[test]
    fn patterns_are_checked() {
        for text in [
            "",
            "chat",
            "/{",
            "/{}",
            "/a{b}",
            "/{*a}/b",
            "/{a b}",
            "/?",
            "/*",
            "/chat/:room",
        ] {
            assert!(
                matches!(Pattern::parse(text), Err(PatternError::Malformed(_))),
                "{text}"
            );
        }
        let twice = Pattern::parse("/{a}/{a}");
        assert!(matches!(twice, Err(PatternError::NameTwice(_))));
        let mut routes = routes(&["/chat/{room}"]);
        let again = routes.add("/chat/{name}", Arc::new(Arc::new(Endpoint::new())));
        assert_eq!(again, Err(PatternError::Taken("/chat/{name}".into())));
    }
}
