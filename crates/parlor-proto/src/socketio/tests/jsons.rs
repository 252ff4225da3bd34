//! The scanner, beside serde_json.

use super::json::{Elements, Scanner, escape_into, first_element, member, unescape};

/// Whether a text is JSON to the scanner.
fn is_json(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    loop {
        match scanner.next() {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

#[test]
fn json_and_what_is_not() {
    // One a line, between bars.
    let good = r#"0 |-0|10|-1.5|1e5|1E+5|1.0e-5|true|false|null|""|[]|{}|[1,[2,{}]]
        | [ 1 , 2 ] |{"a":{"b":[]}}|"a\"\\\/\b\f\n\r\t\u00e9"|"é€😀"|"'/""#;
    let bad = r#"|01|-|+1|1.|.5|1e|1e+|0x1|NaN|Infinity|tru|True|nul|undefined|'a'|"|"a|"\x"
        |"\u00g0"|"\u00"|[|]|[1|[1,|[,1]|[1 2]|[1]]|{|}|{1:2}|{a:1}|{"a"}|{"a":}|{"a":1,}
        |{"a":1 "b":2}|[}|{]|1 2|[1}|/**/1|{"a":1]"#;
    let more = ["\"\n\"", "\"\u{0}\"", "\u{feff}1", "\u{a0}1"];
    for text in good.split('|') {
        assert!(is_json(text), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
    }
    for text in bad.split('|').chain(more) {
        assert!(!is_json(text), "{text}");
        assert!(
            serde_json::from_str::<serde_json::Value>(text).is_err(),
            "{text}"
        );
    }
    // serde_json has no value for these, but they are JSON.
    for text in ["1e999", r#""\ud800""#, r#""\udc00\ud800""#] {
        assert!(is_json(text), "{text}");
    }
}

#[test]
fn strings_end_where_they_end() {
    for len in 0..40 {
        let text = format!("\"{}\"", "é".repeat(len));
        assert!(is_json(&text));
        for at in 1..=len {
            let at = at * 2 - 1;
            for special in ["\"", "\u{1f}", "\u{0}", "\\x"] {
                let mut broken = text.clone();
                broken.insert_str(at, special);
                assert!(!is_json(&broken), "{broken:?}");
            }
            for plain in [" ", "!", "#", "[", "]", "\u{7f}", "\u{80}", "\\\\"] {
                let mut good = text.clone();
                good.insert_str(at, plain);
                assert!(is_json(&good), "{good:?}");
            }
        }
    }
}

#[test]
fn texts_mean_what_they_say() {
    let rows = [
        (r#""""#, ""),
        (r#""aé€😀""#, "aé€😀"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u00e9\u20AC\ud83d\ude00""#, "é€😀"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
    ];
    for (raw, expected) in rows {
        assert_eq!(unescape(raw).as_deref(), Some(expected), "{raw}");
    }
    for raw in ["", "\"", "1", "null", "[]", r#""\"#, r#""\u12""#] {
        assert!(unescape(raw).is_none_or(|text| text.is_empty()), "{raw}");
    }
    let mut out = String::new();
    escape_into("a\"\\\n\r\t\u{1}é\u{2028}", &mut out);
    assert_eq!(out, "\"a\\\"\\\\\\n\\r\\t\\u0001é\u{2028}\"");
}

#[test]
fn members_and_elements() {
    let object = r#" { "a" : 1 , "b\u0063" : {"a":2} , "a" : [3] , "n":null,"t":true,"f":false} "#;
    assert_eq!(member(object, "a"), Some("[3]"));
    assert_eq!(member(object, "bc"), Some(r#"{"a":2}"#));
    assert_eq!(member(object, "n"), Some("null"));
    assert_eq!(member(object, "t"), Some("true"));
    assert_eq!(member(object, "f"), Some("false"));
    assert_eq!(member(object, "x"), None);
    assert_eq!(member("[]", "a"), None);
    assert_eq!(member("{", "a"), None);
    let elements: Vec<&str> =
        Elements::new(r#"[ 1, "a,b" ,[2,[3]],{"x":[]},true,null ]"#).collect();
    assert_eq!(
        elements,
        ["1", r#""a,b""#, "[2,[3]]", r#"{"x":[]}"#, "true", "null"]
    );
    assert_eq!(Elements::new("[]").count(), 0);
    assert_eq!(Elements::new("{}").count(), 0);
    assert_eq!(Elements::new("[1,2").count(), 2);
}

#[test]
fn the_first_element_and_what_is_behind_it() {
    for (array, expected) in [
        (r#"["a",1]"#, Some((1..4, 5))),
        (r#" [ "a" , 1 ] "#, Some((3..6, 8))),
        (r#"["a"]"#, Some((1..4, 4))),
        ("[-7 ]", Some((1..3, 4))),
        ("[[1],2]", Some((1..4, 5))),
        ("[true]", Some((1..5, 5))),
        ("[]", None),
        ("{}", None),
        ("", None),
    ] {
        assert_eq!(first_element(array), expected, "{array}");
    }
}

#[test]
fn a_string_ends_at_its_first_quote_wherever_that_is() {
    for len in 0..40 {
        let plain = "x".repeat(len);
        for end in [
            "",
            "]",
            "        ]",
            "\"\"\"\"\"\"\"\"",
            "\u{80}\u{80}\u{80}\u{80}",
        ] {
            let text = format!("[\"{plain}\",1{end}");
            let mut elements = Elements::new(&text);
            assert_eq!(elements.next(), text.get(1..len + 3), "{text}");
        }
        let mut out = String::new();
        escape_into(&format!("{plain}\u{1f}!"), &mut out);
        assert_eq!(out, format!("\"{plain}\\u001f!\""));
        assert_eq!(unescape(&out).as_deref(), Some(&*format!("{plain}\u{1f}!")));
    }
}
