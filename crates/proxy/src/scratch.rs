//! Buffers that the sessions of a thread share: a session needs them while bytes pass, and an idle one has none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are read at once, at most.
const AT_ONCE: usize = 64 << 10;

/// Bytes that may be put before those that are read.
pub(crate) const BEFORE: usize = AT_ONCE / 2;

/// Buffers that are kept for the next session that needs one, and the most bytes of one.
const KEPT: usize = 16;
const LONGEST: usize = 256 << 10;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; AT_ONCE].into());
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn take() -> Vec<u8> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// One that is not needed any more, with whatever is in it.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > LONGEST {
        return;
    }
    buffer.clear();
    FREE.with_borrow_mut(|free| {
        if free.len() < KEPT {
            free.push(buffer);
        }
    });
}

/// Reads what there is, and gives it to `keep`; 0: the other side has closed.
///
/// # Errors
/// What the stream says.
pub(crate) fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
    keep: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    READ.with_borrow_mut(|place| {
        let mut bytes = ReadBuf::new(place);
        ready!(Pin::new(stream).poll_read(context, &mut bytes))?;
        keep(bytes.filled());
        Poll::Ready(Ok(bytes.filled().len()))
    })
}

/// As [`poll_read`], of a stream of which `before` has been read already: `keep` gets that with what is new behind it, and
/// leaves in `before` what it has no use for yet. `before` may be [`BEFORE`] bytes long.
///
/// # Errors
/// What the stream says.
pub(crate) fn poll_read_behind<S: AsyncRead + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
    before: &mut Vec<u8>,
    keep: impl FnOnce(&mut Vec<u8>, &[u8]),
) -> Poll<io::Result<usize>> {
    READ.with_borrow_mut(|place| {
        let (old, new) = place.split_at_mut(before.len().min(BEFORE));
        old.copy_from_slice(before);
        let mut bytes = ReadBuf::new(new);
        ready!(Pin::new(stream).poll_read(context, &mut bytes))?;
        let count = bytes.filled().len();
        if count > 0 {
            let all = old.len() + count;
            keep(before, &place[..all]);
        }
        Poll::Ready(Ok(count))
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_a_large_one_is_not_kept() {
        let mut buffer = take();
        buffer.extend_from_slice(b"secret");
        let place = buffer.as_ptr();
        give_back(buffer);
        let again = take();
        assert_eq!(again.as_ptr(), place);
        assert!(again.is_empty());
        give_back(Vec::with_capacity(LONGEST + 1));
        assert_eq!(take().capacity(), 0);
        for _ in 0..2 * KEPT {
            give_back(Vec::with_capacity(10));
        }
        assert_eq!(FREE.with_borrow(Vec::len), KEPT);
    }

    #[tokio::test]
    async fn what_was_read_before_comes_before_it() {
        let mut stream = &b"bytes"[..];
        let mut before = b"so many ".to_vec();
        for length in [5, 0] {
            let read = poll_fn(|context| {
                poll_read_behind(&mut stream, context, &mut before, |before, all| {
                    assert_eq!(all, b"so many bytes");
                    *before = b"left".to_vec();
                })
            })
            .await;
            assert_eq!(read.unwrap(), length);
            assert_eq!(before, b"left");
        }
    }

    #[tokio::test]
    async fn what_is_there_is_read_and_then_the_end() {
        let mut stream = &b"bytes"[..];
        let mut kept = Vec::new();
        for length in [5, 0] {
            let read = poll_fn(|context| {
                let keep = |bytes: &[u8]| kept.extend_from_slice(bytes);
                poll_read(&mut stream, context, keep)
            })
            .await;
            assert_eq!(read.unwrap(), length);
        }
        assert_eq!(kept, b"bytes");
    }
}
