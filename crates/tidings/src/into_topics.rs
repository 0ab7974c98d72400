use crate::error::FieldError;
use crate::topic::Topic;

/// What [`Hub::subscribe`](crate::Hub::subscribe) takes: one topic, or any collection of them. With [`TopicPattern`] for `N`,
/// what [`Hub::subscribe_matching`](crate::Hub::subscribe_matching) takes.
///
/// - One: `"news"`, a `String`, a [`Topic`] or a reference to one of these.
/// - Many: an array, a slice, a `Vec` or any other iterator of these.
/// - A tuple of two to six different ones: `("news", format!("user:{id}"), more_topics)`.
///
/// `Kind` is found by the compiler. It tells these three apart.
///
/// ```
/// use tidings::{Hub, Topic};
///
/// const NEWS: Topic = Topic::from_static("news");
///
/// let hub = Hub::new();
/// let id = 42;
/// let rooms = vec!["room:1".to_owned(), "room:2".to_owned()];
/// for subscribe in [
///     hub.subscribe("news"),
///     hub.subscribe(NEWS),
///     hub.subscribe(["news", &format!("user:{id}")]),
///     hub.subscribe(&rooms),
///     hub.subscribe(rooms.iter().filter(|room| room.ends_with('1'))),
///     hub.subscribe((NEWS, format!("user:{id}"), rooms)),
///     hub.subscribe_matching((NEWS, "room:*")),
/// ] {
///     subscribe.open()?;
/// }
/// # Ok::<(), tidings::error::SubscribeError>(())
/// ```
///
/// [`TopicPattern`]: crate::TopicPattern
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name one or more topics",
    label = "not a `{N}`, a text, a collection of these or a tuple of these",
    note = "pass `\"news\"`, a `String`, a `Topic`, an array, `Vec`, slice or iterator of one of these, or a tuple such as \
            `(\"news\", format!(\"user:{{id}}\"))`"
)]
pub trait IntoTopics<Kind, N = Topic> {
    /// The topics, or patterns.
    ///
    /// # Errors
    ///
    /// When one of them is refused.
    fn into_topics(self) -> Result<Vec<N>, FieldError>;
}

/// The kinds of [`IntoTopics`].
mod kind {
    #[derive(Debug)]
    pub struct One;

    #[derive(Debug)]
    pub struct Many;
}

impl<T, N> IntoTopics<kind::One, N> for T
where
    T: TryInto<N>,
    T::Error: Into<FieldError>,
{
    fn into_topics(self) -> Result<Vec<N>, FieldError> {
        self.try_into().map(|topic| vec![topic]).map_err(Into::into)
    }
}

impl<I, N> IntoTopics<kind::Many, N> for I
where
    I: IntoIterator,
    I::Item: TryInto<N>,
    <I::Item as TryInto<N>>::Error: Into<FieldError>,
{
    fn into_topics(self) -> Result<Vec<N>, FieldError> {
        self.into_iter().map(|topic| topic.try_into().map_err(Into::into)).collect()
    }
}

macro_rules! tuples {
    ($($part:ident: $kind:ident),+) => {
        impl<N, $($part, $kind),+> IntoTopics<($($kind,)+), N> for ($($part,)+)
        where
            $($part: IntoTopics<$kind, N>,)+
        {
            fn into_topics(self) -> Result<Vec<N>, FieldError> {
                #[allow(non_snake_case, reason = "a type and its value have one name")]
                let ($($part,)+) = self;
                let mut topics = Vec::new();
                $(topics.extend($part.into_topics()?);)+
                Ok(topics)
            }
        }
    };
}

tuples!(A: KA);
tuples!(A: KA, B: KB);
tuples!(A: KA, B: KB, C: KC);
tuples!(A: KA, B: KB, C: KC, D: KD);
tuples!(A: KA, B: KB, C: KC, D: KD, E: KE);
tuples!(A: KA, B: KB, C: KC, D: KD, E: KE, F: KF);
