use super::{Malformed, Part, parse};

fn parsed(value: &[u8]) -> Result<String, Malformed> {
    let mut out = String::new();
    parse(value, |part| match part {
        Part::Extension(name) => out.push_str(&format!("[{name}]")),
        Part::Parameter(name, None) => out.push_str(&format!("{name} ")),
        Part::Parameter(name, Some(value)) => out.push_str(&format!("{name}={value} ")),
    })?;
    Ok(out)
}

#[test]
fn values_that_follow_the_grammar() {
    let rows: &[(&[u8], &str)] = &[
        (b"foo", "[foo]"),
        (b"foo, bar; baz=2", "[foo][bar]baz=2 "),
        (b"foo;a;b=1;c=\"x\" ,\tbar", "[foo]a b=1 c=x [bar]"),
        (b"  foo ; a = 1 ,bar;a", "[foo]a=1 [bar]a "),
        (b"foo; a=\"1\\5\"", "[foo]a=15 "),
        (b"permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate",
         "[permessage-deflate]client_max_window_bits server_max_window_bits=10 [permessage-deflate]"),
        (b"!#$%&'*+-.^_`|~9Az", "[!#$%&'*+-.^_`|~9Az]"),
        (b"constructor; __proto__=toString", "[constructor]__proto__=toString "),
    ];
    for (value, expected) in rows {
        assert_eq!(parsed(value).as_deref(), Ok(*expected));
    }
}

#[test]
fn values_that_do_not() {
    let rows: &[&[u8]] = &[
        b"",
        b" ",
        b",",
        b"foo,",
        b",foo",
        b"foo,,bar",
        b"foo;",
        b"foo; ",
        b"foo;;a",
        b"foo; =1",
        b"foo; a=",
        b"foo; a= ;b",
        b"foo; a=\"\"",
        b"foo; a=\"1",
        b"foo; a=\"1\\\"",
        b"foo; a=\"1\"2",
        b"foo; a=\"b c\"",
        b"foo; a=\"b,c\"",
        b"foo bar",
        b"foo; a b",
        b"foo; a=1 2",
        b"\"foo\"",
        b"foo\x00",
        b"f\xC3\xB6\xC3\xB6",
        b"foo; a=\xFF",
        b"foo; \"a\"=1",
        b"foo=1",
        b"a/b",
        b"(foo)",
    ];
    for value in rows {
        assert_eq!(
            parsed(value),
            Err(Malformed),
            "{:?}",
            value.escape_ascii().to_string()
        );
    }
}

/// A header of 16 KiB, the longest that gets here, takes no time worth telling.
#[test]
fn long_values_take_one_pass() {
    let commas = b"a,".repeat(8000);
    let parameters = [b"a".to_vec(), b";a=\"\\1\"".repeat(2500)].concat();
    let spaces = [b"a".to_vec(), b" ".repeat(16_000), b"b".to_vec()].concat();
    let quotes = [b"a; b=\"".to_vec(), b"\\c".repeat(8000)].concat();
    for (value, good) in [
        (commas, false),
        (parameters, true),
        (spaces, false),
        (quotes, false),
    ] {
        assert_eq!(parse(&value, |_| {}).is_ok(), good);
    }
}
