//! The field rules that many types share, named by what they do with "not set".

use std::{
    collections::HashMap,
    mem,
    path::{Path, PathBuf},
    str::FromStr,
};

use protobuf::MessageField;

use super::{
    ConvertError, FromProto, IntoProto, LossReason,
    error::{Bounds, Locate, OutOfRange},
    lossy::{Losses, Step},
};

// ---- grpc → oci --------------------------------------------------------------------------------

/// A present message, converted; an absent one is `None`.
pub(super) fn message<P, T: FromProto<P>>(
    proto: MessageField<P>,
    field: &'static str,
    out_of_range: OutOfRange,
) -> Result<Option<T>, ConvertError> {
    proto
        .into_option()
        .map(|proto| T::from_proto(proto, out_of_range).at(field))
        .transpose()
}

/// A list, converted element by element.
pub(super) fn list<P, T: FromProto<P>>(
    protos: Vec<P>,
    field: &'static str,
    out_of_range: OutOfRange,
) -> Result<Vec<T>, ConvertError> {
    each(protos, field, |proto| T::from_proto(proto, out_of_range))
}

/// A list of names, each of the enum `kind`.
pub(super) fn names<T: FromStr>(
    names: Vec<String>,
    field: &'static str,
    kind: &'static str,
) -> Result<Vec<T>, ConvertError> {
    each(names, field, |value| parse(value, kind))
}

/// A name of the enum `kind`.
pub(super) fn name<T: FromStr>(
    value: String,
    field: &'static str,
    kind: &'static str,
) -> Result<T, ConvertError> {
    parse(value, kind).at(field)
}

fn parse<T: FromStr>(value: String, kind: &'static str) -> Result<T, ConvertError> {
    value.parse().map_err(|_| ConvertError::name(value, kind))
}

fn each<P, T>(
    protos: Vec<P>,
    field: &'static str,
    convert: impl Fn(P) -> Result<T, ConvertError>,
) -> Result<Vec<T>, ConvertError> {
    // `collect` into a `Result` does not know the length and would grow the list step by step.
    let mut list = Vec::with_capacity(protos.len());
    for (index, proto) in protos.into_iter().enumerate() {
        list.push(convert(proto).at_index(index).at(field)?);
    }
    Ok(list)
}

/// An empty list is `None`.
pub(super) fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// An empty map is `None`.
pub(super) fn non_empty_map<K, V>(map: HashMap<K, V>) -> Option<HashMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

/// An empty text is `None`.
pub(super) fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// An empty path is `None`.
pub(super) fn path(path: String) -> Option<PathBuf> {
    text(path).map(PathBuf::from)
}

/// 0 is `None`.
pub(super) fn non_zero<T: Default + PartialEq>(number: T) -> Option<T> {
    (number != T::default()).then_some(number)
}

/// 0 and less are `None`.
pub(super) fn positive<T: Default + PartialOrd>(number: T) -> Option<T> {
    (number > T::default()).then_some(number)
}

/// What a builder of `oci-spec` made, for the types that have no setters. All fields of these
/// builders have defaults, so none of them fails.
pub(super) fn built<T>(
    built: Result<T, oci_spec::OciSpecError>,
    kind: &'static str,
) -> Result<T, ConvertError> {
    built.map_err(|error| ConvertError::name(error.to_string(), kind))
}

/// The number in a smaller type.
pub(super) fn narrow<S, T>(
    number: S,
    field: &'static str,
    out_of_range: OutOfRange,
) -> Result<T, ConvertError>
where
    S: Copy + Default + PartialOrd + ToString,
    T: Integer + TryFrom<S>,
{
    match (T::try_from(number), out_of_range) {
        (Ok(number), _) => Ok(number),
        (Err(_), OutOfRange::Saturate) => Ok(nearest(number)),
        (Err(_), OutOfRange::Refuse) => Err(ConvertError::number(number, T::BOUNDS)).at(field),
    }
}

/// The end of `T`'s range that is nearest to `number`, which is outside of it.
fn nearest<S: Default + PartialOrd, T: Integer>(number: S) -> T {
    if number < S::default() {
        T::MIN
    } else {
        T::MAX
    }
}

/// The types that numbers of the wire have to fit.
pub(super) trait Integer: Sized {
    const MIN: Self;
    const MAX: Self;
    const BOUNDS: Bounds;
}

macro_rules! integers {
    ($($int:ident)*) => {$(
        impl Integer for $int {
            const MIN: Self = $int::MIN;
            const MAX: Self = $int::MAX;
            const BOUNDS: Bounds = Bounds {
                kind: stringify!($int),
                min: $int::MIN as i128,
                max: $int::MAX as i128,
            };
        }
    )*};
}
integers!(u16 i32 u32 usize);

// ---- oci → grpc --------------------------------------------------------------------------------

/// `None` is an absent message.
pub(super) fn to_message<T: IntoProto, L: Losses>(
    value: Option<T>,
    field: &'static str,
    losses: &mut L,
) -> MessageField<T::Proto> {
    MessageField::from_option(
        value.map(|value| losses.within(Step::Field(field), |losses| value.into_proto(losses))),
    )
}

/// `None` is an empty list.
pub(super) fn to_list<I, L>(values: Option<I>, field: &'static str, losses: &mut L) -> Vec<Proto<I>>
where
    I: IntoIterator<Item: IntoProto, IntoIter: ExactSizeIterator>,
    L: Losses,
{
    let Some(values) = values else {
        return Vec::new();
    };
    losses.within(Step::Field(field), |losses| {
        values
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                losses.within(Step::Index(index), |losses| value.into_proto(losses))
            })
            .collect()
    })
}

type Proto<I> = <<I as IntoIterator>::Item as IntoProto>::Proto;

/// Names of enums; `None` is an empty list.
pub(super) fn to_names<'a, I, T>(values: Option<I>) -> Vec<String>
where
    I: IntoIterator<Item = &'a T>,
    T: ToString + 'a,
{
    values
        .map(|values| values.into_iter().map(T::to_string).collect())
        .unwrap_or_default()
}

/// A path that can be taken. Bytes that are not UTF-8 become U+FFFD (D11).
pub(super) fn take_path<L: Losses>(
    path: &mut PathBuf,
    field: &'static str,
    losses: &mut L,
) -> String {
    mem::take(path)
        .into_os_string()
        .into_string()
        .unwrap_or_else(|path| lossy_path(Path::new(&path), field, losses))
}

/// An optional path that can be taken; `None` is empty.
pub(super) fn take_optional_path<L: Losses>(
    path: &mut Option<PathBuf>,
    field: &'static str,
    losses: &mut L,
) -> String {
    path.as_mut()
        .map(|path| take_path(path, field, losses))
        .unwrap_or_default()
}

/// A path that has to be copied. Bytes that are not UTF-8 become U+FFFD (D11).
pub(super) fn copy_path<L: Losses>(path: &Path, field: &'static str, losses: &mut L) -> String {
    path.to_str()
        .map_or_else(|| lossy_path(path, field, losses), str::to_owned)
}

/// An optional path that has to be copied; `None` is empty.
pub(super) fn copy_optional_path<L: Losses>(
    path: Option<&PathBuf>,
    field: &'static str,
    losses: &mut L,
) -> String {
    path.map(|path| copy_path(path, field, losses))
        .unwrap_or_default()
}

#[cold]
fn lossy_path<L: Losses>(path: &Path, field: &'static str, losses: &mut L) -> String {
    losses.lost(field, LossReason::NotUtf8, || format!("{path:?}"));
    path.display().to_string()
}

/// The number in a smaller type, the nearest one if it does not fit (D9).
pub(super) fn to_narrow<S, T, L>(number: S, field: &'static str, losses: &mut L) -> T
where
    S: Copy + Default + PartialOrd + ToString,
    T: Integer + TryFrom<S>,
    L: Losses,
{
    T::try_from(number).unwrap_or_else(|_| {
        losses.lost(field, LossReason::Truncated, || number.to_string());
        nearest(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_empty_mean_not_set() {
        assert_eq!(text(String::new()), None);
        assert_eq!(text("x".into()), Some("x".into()));
        assert_eq!(path(String::new()), None);
        assert_eq!(path("/x".into()), Some("/x".into()));
        assert_eq!(non_empty(Vec::<u8>::new()), None);
        assert_eq!(non_empty(vec![0]), Some(vec![0]));
        assert_eq!(non_empty_map(HashMap::<u8, u8>::new()), None);
        assert_eq!(non_zero(0), None);
        assert_eq!(non_zero(-1), Some(-1));
        assert_eq!(positive(0_u64), None);
        assert_eq!(positive(-1), None);
        assert_eq!(positive(1), Some(1));
    }

    #[test]
    fn numbers_saturate_at_the_near_end_or_are_refused() {
        type Case = (i64, i32, bool);
        const CASES: [Case; 5] = [
            (0, 0, true),
            (i32::MAX as i64, i32::MAX, true),
            (i32::MAX as i64 + 1, i32::MAX, false),
            (i32::MIN as i64 - 1, i32::MIN, false),
            (1 << 32, i32::MAX, false),
        ];
        for (number, saturated, fits) in CASES {
            assert_eq!(
                narrow::<_, i32>(number, "F", OutOfRange::Saturate),
                Ok(saturated)
            );
            let refused = narrow::<_, i32>(number, "F", OutOfRange::Refuse);
            assert_eq!(refused.is_ok(), fits, "{number}");
            if let Err(error) = refused {
                assert_eq!(
                    error.to_string(),
                    format!("F: {number} is out of range of i32 (-2147483648 to 2147483647)")
                );
            }
        }
        assert_eq!(
            narrow::<_, u16>(65_536_u32, "F", OutOfRange::Saturate),
            Ok(u16::MAX)
        );
    }
}
