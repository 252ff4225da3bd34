//! Rules for rooms: the `[[rooms]]` tables of the configuration file.

use anyhow::{Context as _, bail};
use parlor::Config;
use parlor::config::{ROOM_KEYS, nearest_key, same_key};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{in_order, value_text};

/// The key of the array of tables.
pub(super) const KEY: &str = "rooms";

/// The key of a table that says which rooms are meant.
const PATTERN: &str = "pattern";

/// The rules of a file, in their order.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    place: String,
    pattern: String,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    place: String,
    key: &'static str,
    text: String,
}

impl Rules {
    /// Reads the value of [`KEY`], which stands at `here`; `place` names the others.
    ///
    /// # Errors
    ///
    /// A value that is not an array of tables, a key that no rule has, a rule without a pattern.
    pub(super) fn read(
        value: &DeValue<'_>,
        here: &str,
        place: impl Fn(usize) -> String,
    ) -> anyhow::Result<Self> {
        let DeValue::Array(tables) = value else {
            bail!("{here}: rules for rooms are tables that begin with `[[{KEY}]]`");
        };
        let rule = |table: &Spanned<DeValue<'_>>| match table.get_ref() {
            DeValue::Table(entries) => Rule::read(entries, place(table.span().start), &place),
            _ => bail!("{here}: rules for rooms are tables that begin with `[[{KEY}]]`"),
        };
        tables
            .iter()
            .map(rule)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Appends them to a configuration; what a rule does not name is as it stands there.
    ///
    /// # Errors
    ///
    /// A value that its setting does not take.
    pub(super) fn apply(self, config: &mut Config) -> anyhow::Result<()> {
        for Rule {
            place,
            pattern,
            changes,
        } in self.0
        {
            let mut holds = config.clone();
            holds.rooms.clear();
            for Change { place, key, text } in changes {
                holds.set(key, &text).with_context(|| place)?;
            }
            let rule = holds.room_rule(pattern);
            config.rooms.push(rule);
            config.validate().with_context(|| place)?;
        }
        Ok(())
    }
}

impl Rule {
    fn read(
        entries: &DeTable<'_>,
        here: String,
        place: impl Fn(usize) -> String,
    ) -> anyhow::Result<Self> {
        let mut pattern = None;
        let mut changes: Vec<Change> = Vec::new();
        for (key, value) in in_order(entries) {
            let (place, key) = (place(key.span().start), key.get_ref());
            let text = value_text(value.get_ref(), false)
                .with_context(|| format!("{place}: `{key}` cannot be of this type"));
            if key == PATTERN {
                pattern = Some(text?);
                continue;
            }
            let Some(known) = ROOM_KEYS.into_iter().find(|known| same_key(known, key)) else {
                let near = nearest_key(key, ROOM_KEYS.into_iter().chain([PATTERN]));
                let hint = near.map(|near| format!(", did you mean `{near}`?"));
                bail!(
                    "{place}: a rule for rooms has no `{key}`{}",
                    hint.unwrap_or_default()
                );
            };
            if changes.iter().any(|change| change.key == known) {
                bail!("{place}: `{key}` is given twice");
            }
            changes.push(Change {
                place,
                key: known,
                text: text?,
            });
        }
        let pattern =
            pattern.with_context(|| format!("{here}: a rule for rooms has a `{PATTERN}`"))?;
        Ok(Self {
            place: here,
            pattern,
            changes,
        })
    }
}
