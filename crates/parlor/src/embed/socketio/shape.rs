//! Whether a value is one argument, several, or none.

use std::fmt;

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible},
};

/// What a value is as arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `()`.
    Nothing,
    /// Anything else.
    One,
    /// A tuple.
    Several,
    /// Arguments that came in.
    Received,
}

/// What such arguments call themselves while their shape is looked for.
pub(super) const RECEIVED: &str = "$parlor::Args";

/// The shape of a value, found by its first call of a serializer.
pub(super) fn shape_of<T: Serialize + ?Sized>(value: &T) -> Shape {
    match value.serialize(Probe) {
        Ok(shape) | Err(Found(shape)) => shape,
    }
}

struct Probe;

/// What was found: the value is not written further.
#[derive(Debug)]
struct Found(Shape);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("found")
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Shape::One)
    }
}

type Never = Impossible<Shape, Found>;
type Probed<T = Shape> = Result<T, Found>;

macro_rules! one {
    ($($name:ident: $kind:ty),*) => {
        $(fn $name(self, _: $kind) -> Probed {
            Ok(Shape::One)
        })*
    };
}

impl Serializer for Probe {
    type Ok = Shape;
    type Error = Found;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    one!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_char: char,
        serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str
    );

    fn serialize_none(self) -> Probed {
        Ok(Shape::One)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Probed {
        Ok(Shape::One)
    }

    fn serialize_unit(self) -> Probed {
        Ok(Shape::Nothing)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Probed {
        Ok(Shape::One)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Probed {
        Ok(Shape::One)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Probed {
        Ok(Shape::One)
    }

    fn serialize_seq(self, _: Option<usize>) -> Probed<Never> {
        Err(Found(Shape::One))
    }

    fn serialize_tuple(self, _: usize) -> Probed<Never> {
        Err(Found(Shape::Several))
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Probed<Never> {
        Err(Found(match name {
            RECEIVED => Shape::Received,
            _ => Shape::One,
        }))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Probed<Never> {
        Err(Found(Shape::One))
    }

    fn serialize_map(self, _: Option<usize>) -> Probed<Never> {
        Err(Found(Shape::One))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Probed<Never> {
        Err(Found(Shape::One))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Probed<Never> {
        Err(Found(Shape::One))
    }
}
