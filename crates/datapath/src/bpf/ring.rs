//! Reads a ring buffer that the program writes to.

use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};

use crate::Error;

/// As many records are taken out at a time: a flood must not keep the reader from handing them over.
const BATCH: usize = 4096;

pub(crate) struct Reader<T> {
    ring: RingBuffer<'static>,
    read: Arc<Mutex<Vec<T>>>,
    what: &'static str,
}

impl<T: Send + 'static> Reader<T> {
    /// `what` names the buffer in errors.
    pub(crate) fn open(
        map: &MapHandle,
        what: &'static str,
        parse: fn(&[u8]) -> Option<T>,
    ) -> Result<Reader<T>, Error> {
        let read: Arc<Mutex<Vec<T>>> = Arc::default();
        let sink = Arc::clone(&read);
        let failed = |error| Error::bpf(format!("open the {what} buffer"), error);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |bytes| {
                if let Some(record) = parse(bytes) {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                }
                0
            })
            .map_err(failed)?;
        Ok(Reader { ring: builder.build().map_err(failed)?, read, what })
    }

    /// Hands over all that is there now.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(T)) -> Result<usize, Error> {
        let mut total = 0;
        loop {
            let count = self.ring.consume_raw_n(BATCH);
            if count < 0 {
                let error = libbpf_rs::Error::from_raw_os_error(-count);
                return Err(Error::bpf(format!("read the {} buffer", self.what), error));
            }
            let records = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
            total += records.len();
            records.into_iter().for_each(&mut *sink);
            // A writer that is faster than this reader would keep it here for ever.
            if (count as usize) < BATCH || total >= 64 * BATCH {
                return Ok(total);
            }
        }
    }
}
