//! Tables as Parquet files: written whole or not at all, read by row groups.

use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use rustc_hash::FxHashMap;

use crate::table::{Column, Kind, NO_NUMBER, NO_TEXT, Table, Texts, Values};

/// How much work goes into making a file small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Of a few seconds, soon to be merged into another one.
    Short,
    /// To be kept.
    Lasting,
}

/// Writes one file.
pub(crate) struct Writer<'a> {
    schema: &'a [Column],
    writer: SerializedFileWriter<BufWriter<File>>,
}

impl<'a> Writer<'a> {
    pub fn create(path: &Path, schema: &'a [Column], effort: Effort) -> Result<Writer<'a>> {
        let file = File::create(path)?;
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("podgate ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_offset_index_disabled(true)
            .set_statistics_truncate_length(Some(24))
            .set_statistics_enabled(match effort {
                Effort::Short => EnabledStatistics::None,
                Effort::Lasting => EnabledStatistics::Chunk,
            })
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(match effort {
                Effort::Short => 1,
                Effort::Lasting => 6,
            })?));
        for column in schema {
            let path = || ColumnPath::from(column.name.as_str());
            properties = match column.kind {
                // Readers skip what lies outside the time that they ask for.
                Kind::Time => properties
                    .set_column_statistics_enabled(path(), EnabledStatistics::Chunk)
                    .set_column_dictionary_enabled(path(), false)
                    .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED),
                // Ids begin with their time.
                Kind::Id => properties
                    .set_column_statistics_enabled(path(), EnabledStatistics::None)
                    .set_column_dictionary_enabled(path(), false)
                    .set_column_encoding(path(), Encoding::DELTA_BYTE_ARRAY),
                _ => properties,
            };
        }
        let writer = SerializedFileWriter::new(
            BufWriter::new(file),
            schema_of(schema)?,
            Arc::new(properties.build()),
        )?;
        Ok(Writer { schema, writer })
    }

    /// Writes rows of a table as a row group.
    pub fn write(&mut self, table: &Table, rows: Range<usize>) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (column, values) in self.schema.iter().zip(&table.columns) {
            let mut writer = group
                .next_column()?
                .ok_or_else(|| ParquetError::General(format!("no column {} to write", column.name)))?;
            write_column(&mut writer, column, values, rows.clone())?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file with notes for readers, and makes sure that it is on the disk.
    pub fn finish(mut self, notes: &[(&str, String)]) -> Result<()> {
        for (key, value) in notes {
            self.writer.append_key_value_metadata(KeyValue::new((*key).to_owned(), value.clone()));
        }
        let file = self.writer.into_inner()?.into_inner().map_err(|error| error.into_error())?;
        Ok(file.sync_all()?)
    }
}

fn write_column(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    values: &Values,
    rows: Range<usize>,
) -> Result<()> {
    match values {
        Values::Texts(texts) => {
            let rows = &texts.rows[rows];
            let levels = levels(column, rows, |number| *number != NO_TEXT);
            let bytes: Vec<ByteArray> =
                rows.iter().filter_map(|number| texts.bytes(*number)).cloned().collect();
            writer.typed::<ByteArrayType>().write_batch(&bytes, levels.as_deref(), None)?;
        }
        Values::Numbers(numbers) => {
            let numbers = &numbers[rows];
            let levels = levels(column, numbers, |number| *number != NO_NUMBER);
            let levels = levels.as_deref();
            let present = numbers.iter().filter(|number| column.required || **number != NO_NUMBER);
            match column.kind {
                Kind::Flag => {
                    let flags: Vec<bool> = present.map(|number| *number != 0).collect();
                    writer.typed::<BoolType>().write_batch(&flags, levels, None)?;
                }
                Kind::Number(bits) if bits < 64 => {
                    let numbers: Vec<i32> = present.map(|number| *number as i32).collect();
                    writer.typed::<Int32Type>().write_batch(&numbers, levels, None)?;
                }
                _ => {
                    let numbers: Vec<i64> = present.copied().collect();
                    writer.typed::<Int64Type>().write_batch(&numbers, levels, None)?;
                }
            }
        }
        Values::Ids(ids) => {
            let ids: Vec<FixedLenByteArray> =
                ids[rows].iter().map(|id| FixedLenByteArray::from(id.to_be_bytes().to_vec())).collect();
            writer.typed::<FixedLenByteArrayType>().write_batch(&ids, None, None)?;
        }
    }
    Ok(())
}

fn levels<T>(column: &Column, values: &[T], is_there: impl Fn(&T) -> bool) -> Option<Vec<i16>> {
    (!column.required).then(|| values.iter().map(|value| i16::from(is_there(value))).collect())
}

fn schema_of(columns: &[Column]) -> Result<TypePtr> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
            Kind::Number(64) => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Kind::Number(bits) => (Physical::INT32, Some(LogicalType::integer(bits as i8, false))),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Flag => (Physical::BOOLEAN, None),
            Kind::Id => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid)),
        };
        let repetition = if column.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let builder = Type::primitive_type_builder(&column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        let builder = if column.kind == Kind::Id { builder.with_length(16) } else { builder };
        builder.build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Type::group_type_builder("podgate").with_fields(fields).build()?))
}

/// Reads one file.
pub(crate) struct Reader<'a> {
    schema: &'a [Column],
    reader: SerializedFileReader<File>,
    /// Where each column of the schema is in the file; files of other versions may lack some.
    places: Vec<Option<usize>>,
}

impl<'a> Reader<'a> {
    pub fn new(file: File, schema: &'a [Column]) -> Result<Reader<'a>> {
        let reader = SerializedFileReader::new(file)?;
        let places = {
            let there = reader.metadata().file_metadata().schema_descr();
            let place = |column: &Column| {
                let fits = |at: &usize| there.column(*at).name() == column.name;
                (0..there.num_columns()).find(fits)
            };
            schema.iter().map(place).collect()
        };
        let reader = Reader { schema, reader, places };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<()> {
        let wanted = schema_of(self.schema)?;
        let there = self.reader.metadata().file_metadata().schema_descr();
        for ((column, place), wanted) in self.schema.iter().zip(&self.places).zip(wanted.get_fields()) {
            match place {
                Some(place) if there.column(*place).physical_type() != wanted.get_physical_type() => {
                    let is = there.column(*place).physical_type();
                    return Err(ParquetError::General(format!(
                        "column {} is {is}, and should be {}",
                        column.name,
                        wanted.get_physical_type()
                    )));
                }
                None if column.required => {
                    return Err(ParquetError::General(format!("there is no column {}", column.name)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What was noted when it was written.
    pub fn note(&self, key: &str) -> Option<&str> {
        let notes = self.reader.metadata().file_metadata().key_value_metadata()?;
        notes.iter().find(|note| note.key == key)?.value.as_deref()
    }

    pub fn groups(&self) -> usize {
        self.reader.metadata().num_row_groups()
    }

    /// How many rows a row group has.
    pub fn rows(&self, group: usize) -> usize {
        self.reader.metadata().row_group(group).num_rows() as usize
    }

    /// The least and greatest value of a column of times in a row group.
    pub fn times(&self, group: usize, column: usize) -> Option<(i64, i64)> {
        let group: &RowGroupMetaData = self.reader.metadata().row_group(group);
        match group.column(self.places[column]?).statistics()? {
            Statistics::Int64(times) => Some((*times.min_opt()?, *times.max_opt()?)),
            _ => None,
        }
    }

    /// The rows of a row group.
    pub fn read(&self, group: usize) -> Result<Table> {
        let mut table = Table::new(self.schema);
        let reader = self.reader.get_row_group(group)?;
        let rows = reader.metadata().num_rows() as usize;
        for ((column, place), values) in self.schema.iter().zip(&self.places).zip(&mut table.columns) {
            match place {
                Some(place) => read_column(&*reader, *place, rows, column, values)
                    .map_err(|error| ParquetError::General(format!("column {}: {error}", column.name)))?,
                None => match values {
                    Values::Texts(texts) => texts.rows.resize(texts.rows.len() + rows, NO_TEXT),
                    Values::Numbers(numbers) => numbers.resize(numbers.len() + rows, NO_NUMBER),
                    Values::Ids(ids) => ids.resize(ids.len() + rows, 0),
                },
            }
        }
        Ok(table)
    }
}

fn read_column(
    group: &dyn RowGroupReader,
    place: usize,
    rows: usize,
    column: &Column,
    values: &mut Values,
) -> Result<()> {
    let mut levels = Vec::with_capacity(rows);
    macro_rules! read {
        ($reader:expr) => {{
            let mut values = Vec::with_capacity(rows);
            let mut read = 0;
            while read < rows {
                let (records, ..) =
                    $reader.read_records(rows - read, Some(&mut levels), None, &mut values)?;
                if records == 0 {
                    return Err(ParquetError::General(format!("{read} of {rows} rows are there")));
                }
                read += records;
            }
            values
        }};
    }
    match (group.get_column_reader(place)?, values) {
        (ColumnReader::ByteArrayColumnReader(mut reader), Values::Texts(texts)) => {
            let found = read!(reader);
            add_texts(texts, &found, spread(&levels, rows, found.len())?)
        }
        (ColumnReader::BoolColumnReader(mut reader), Values::Numbers(numbers)) => {
            let found = read!(reader);
            let places = spread(&levels, rows, found.len())?;
            numbers.extend(places.map(|at| at.map_or(NO_NUMBER, |at| i64::from(found[at]))));
            Ok(())
        }
        (ColumnReader::Int32ColumnReader(mut reader), Values::Numbers(numbers)) => {
            let found: Vec<i32> = read!(reader);
            let places = spread(&levels, rows, found.len())?;
            numbers.extend(places.map(|at| at.map_or(NO_NUMBER, |at| i64::from(found[at] as u32))));
            Ok(())
        }
        (ColumnReader::Int64ColumnReader(mut reader), Values::Numbers(numbers)) => {
            let found = read!(reader);
            let places = spread(&levels, rows, found.len())?;
            numbers.extend(places.map(|at| at.map_or(NO_NUMBER, |at| found[at])));
            Ok(())
        }
        (ColumnReader::FixedLenByteArrayColumnReader(mut reader), Values::Ids(ids)) => {
            for id in read!(reader) {
                let bytes: [u8; 16] = id.data().try_into().map_err(|_| {
                    ParquetError::General(format!("an id has {} bytes, not 16", id.data().len()))
                })?;
                ids.push(u128::from_be_bytes(bytes));
            }
            Ok(())
        }
        _ => Err(ParquetError::General(format!("it doesn't hold {:?}", column.kind))),
    }
}

/// For each row the place of its value among those that are there.
fn spread(levels: &[i16], rows: usize, found: usize) -> Result<impl Iterator<Item = Option<usize>> + '_> {
    let there = if levels.is_empty() { rows } else { levels.iter().filter(|level| **level > 0).count() };
    if there != found || (!levels.is_empty() && levels.len() != rows) {
        return Err(ParquetError::General(format!("{found} values for {there} of {rows} rows")));
    }
    let mut next = 0;
    Ok((0..rows).map(move |row| {
        let is_there = levels.get(row).is_none_or(|level| *level > 0);
        next += usize::from(is_there);
        is_there.then(|| next - 1)
    }))
}

fn add_texts(
    texts: &mut Texts,
    found: &[ByteArray],
    places: impl Iterator<Item = Option<usize>>,
) -> Result<()> {
    // Values of a page's dictionary are slices of it: most rows need no look at the text.
    let mut known: FxHashMap<(usize, usize), u32> = FxHashMap::default();
    for at in places {
        let Some(at) = at else {
            texts.rows.push(NO_TEXT);
            continue;
        };
        let bytes = found[at].data();
        let number = match known.entry((bytes.as_ptr() as usize, bytes.len())) {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(place) => {
                found[at].as_utf8()?;
                // Copied: the page is much larger than the text.
                *place.insert(texts.number(bytes))
            }
        };
        texts.rows.push(number);
    }
    Ok(())
}
