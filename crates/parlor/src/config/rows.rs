//! Rows of the table that differ in nothing but key, range and help.

use std::time::Duration;

/// The longest time of any setting.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const fn millis(least: u64) -> Duration {
    Duration::from_millis(least)
}

/// A row whose value is a number of bytes in a range.
macro_rules! size {
    ($field:ident, $group:ident, $range:expr, $help:literal) => {
        Setting {
            key: stringify!($field),
            group: Group::$group,
            value: "SIZE",
            default: None,
            help: $help,
            list: false,
            apply: |config, text| {
                config.$field = text::size(text, &$range)?;
                Ok(())
            },
            show: |config| {
                Some(ByteSize(u64::try_from(config.$field).unwrap_or(u64::MAX)).to_string())
            },
        }
    };
}

/// A row whose value is a span of time in a range.
macro_rules! time {
    ($field:ident, $group:ident, $help:literal) => {
        time!($field, $group, from 1, $help)
    };
    ($field:ident, $group:ident, from $least:literal, $help:literal) => {
        Setting {
            key: stringify!($field),
            group: Group::$group,
            value: "TIME",
            default: None,
            help: $help,
            list: false,
            apply: |config, text| {
                config.$field = text::time(text, &(millis($least)..=DAY))?;
                Ok(())
            },
            show: |config| Some(TimeText(config.$field).to_string()),
        }
    };
}

/// A row whose value is a span of time, and whose field lies deeper.
macro_rules! deep_time {
    ($key:literal, $group:ident, $($field:ident).+, from $least:literal, $help:literal) => {
        Setting {
            key: $key,
            group: Group::$group,
            value: "TIME",
            default: None,
            help: $help,
            list: false,
            apply: |config, text| {
                config.$($field).+ = text::time(text, &(millis($least)..=DAY))?;
                Ok(())
            },
            show: |config| Some(TimeText(config.$($field).+).to_string()),
        }
    };
}

/// A row whose value is a number of bytes, and whose field lies deeper.
macro_rules! deep_size {
    ($key:literal, $group:ident, $($field:ident).+, $range:expr, $help:literal) => {
        Setting {
            key: $key,
            group: Group::$group,
            value: "SIZE",
            default: None,
            help: $help,
            list: false,
            apply: |config, text| {
                config.$($field).+ = text::size(text, &$range)?;
                Ok(())
            },
            show: |config| Some(bytes(config.$($field).+)),
        }
    };
}

/// A row about cross-origin headers of Socket.IO, which any of them turns on.
macro_rules! cors {
    ($key:literal, $value:literal, $list:literal, $default:literal, $field:ident, $parse:expr,
     $show:expr, $help:literal) => {
        Setting {
            key: $key,
            group: Group::SocketIo,
            value: $value,
            default: Some($default),
            help: $help,
            list: $list,
            apply: |config, text| {
                let value = $parse(text)?;
                config.socketio.engine.cors.get_or_insert_default().$field = value;
                Ok(())
            },
            show: |config| config.socketio.engine.cors.as_ref().and_then($show),
        }
    };
}

/// A row whose value is a number of things in a range.
macro_rules! count {
    ($field:ident, $group:ident, $range:expr, $help:literal) => {
        Setting {
            key: stringify!($field),
            group: Group::$group,
            value: "COUNT",
            default: None,
            help: $help,
            list: false,
            apply: |config, text| {
                config.$field = text::count(text, &$range)?;
                Ok(())
            },
            show: |config| Some(config.$field.to_string()),
        }
    };
    ($field:ident or $default:literal, $group:ident, $range:expr, $help:literal) => {
        Setting {
            key: stringify!($field),
            group: Group::$group,
            value: "COUNT",
            default: Some($default),
            help: $help,
            list: false,
            apply: |config, text| {
                config.$field = NonZeroUsize::new(text::count(text, &$range)?);
                Ok(())
            },
            show: |config| config.$field.map(|count| count.to_string()),
        }
    };
}

/// A row whose value is on or off.
macro_rules! switch {
    ($key:literal, $group:ident, $($field:ident).+, $default:expr, $help:literal) => {
        Setting {
            key: $key,
            group: Group::$group,
            value: "on|off",
            default: $default,
            help: $help,
            list: false,
            apply: |config, text| {
                config.$($field).+ = text::switch(text)?;
                Ok(())
            },
            show: |config| Some(on_off(config.$($field).+)),
        }
    };
}

pub(super) use {cors, count, deep_size, deep_time, size, switch, time};
