using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsvHelper;
using CsvHelper.Configuration;
using Sluice.Modules.Catalog.Contracts;

namespace Sluice.Host;

/// <summary>A row of a file: the product as the API takes it, or what is wrong with it.</summary>
/// <param name="Line">Where it begins in the file, from 1; in a JSON array which item it is.</param>
/// <param name="Sku">Empty where it has none.</param>
/// <param name="Product">Null when it cannot even be sent.</param>
internal sealed record FileRow(long Line, string Sku, JsonObject? Product, string Field = "", string Wrong = "");

/// <summary>The file cannot be read, or not any further: the message says where and what to do.</summary>
internal sealed class FileUnreadableException(string message) : Exception(message);

/// <summary>Products in a CSV file, a JSON array, or one JSON object in each line; one row at a time, however long the file is.</summary>
internal static class ImportFile
{
    /// <summary>More rows than that are several files.</summary>
    public const int RowsMax = 1_000_000;

    // The second is for rows of many fields or items of many lines; a line of the first is never more than it.
    private const int LineCharsMax = 1 << 20, RowBytesMax = 4 << 20, ColumnsMax = 100;

    private static readonly JsonSerializerOptions Shallow = new() { MaxDepth = 16 };

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 16, AllowDuplicateProperties = false };

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: true, throwOnInvalidBytes: true);

    private static readonly string[] Columns =
        ["sku", "title", "description", "imageUrl", "images", "price", "formerPrice", "priceCents", "formerCents", "currency", "categories", "isListed"];

    /// <summary>UTF-8, with or without a byte order mark. Bytes that are none end the reading, and nothing is guessed.</summary>
    /// <param name="cancel">Ends a read that waits for more.</param>
    public static StreamReader Open(Stream stream, CancellationToken cancel) => new(new BoundedStream(stream, RowBytesMax, cancel), Utf8, detectEncodingFromByteOrderMarks: false, bufferSize: 1 << 16);

    /// <param name="format"><c>csv</c>, <c>json</c> or <c>jsonl</c>.</param>
    /// <param name="separator">Between the fields of a CSV line; null: whichever of , ; and tab its first line has most.</param>
    /// <param name="currency">Of prices in rows that do not name one.</param>
    /// <param name="rowsMax">Rows; a file of more ends there.</param>
    /// <exception cref="FileUnreadableException">Not this format, not text, or too long.</exception>
    public static async IAsyncEnumerable<FileRow> ReadAsync(StreamReader reader, string format, char? separator, string? currency, [EnumeratorCancellation] CancellationToken cancel, int rowsMax = RowsMax)
    {
        var rows = format switch { "csv" => CsvAsync(reader, separator, currency), "json" => JsonAsync(reader), _ => LinesAsync(reader) };
        await using var each = rows.GetAsyncEnumerator(cancel);
        for (var count = 1; ; count++)
        {
            try
            {
                if (!await each.MoveNextAsync())
                {
                    yield break;
                }
            }
            catch (DecoderFallbackException)
            {
                throw new FileUnreadableException("The file is not UTF-8. Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and run this again.");
            }
            catch (JsonException e)
            {
                throw new FileUnreadableException($"After row {count - 1:N0} (in line {e.LineNumber + 1:N0}, byte {e.BytePositionInLine:N0} of it) the file is no JSON array any more. One object in each line is --format jsonl.");
            }
            catch (IOException e)
            {
                throw new FileUnreadableException($"After row {count - 1:N0} the file cannot be read: {e.Message}");
            }

            if (count > rowsMax)
            {
                throw new FileUnreadableException($"The file has more than {rowsMax:N0} rows. Cut it into several.");
            }

            ((BoundedStream)reader.BaseStream).RowEnded();
            yield return each.Current;
        }
    }

    private static async IAsyncEnumerable<FileRow> CsvAsync(StreamReader reader, char? separator, string? currency)
    {
        var first = await LineAsync(reader);
        if (string.IsNullOrWhiteSpace(first))
        {
            throw new FileUnreadableException("The file has no header line. The first line names the columns: sku,title,price,currency,…");
        }

        if (first.Contains('\r', StringComparison.Ordinal))
        {
            throw new FileUnreadableException("Its lines end as they did on computers of long ago (CR alone). Save it with the line ends of Windows or Unix.");
        }

        var configuration = new CsvConfiguration(CultureInfo.InvariantCulture)
        {
            Delimiter = (separator ?? ",;\t".MaxBy(one => first.Count(c => c == one))).ToString(),
            HasHeaderRecord = false, IgnoreBlankLines = false, TrimOptions = TrimOptions.Trim, MaxFieldSize = LineCharsMax, BadDataFound = null, CountBytes = false, DetectColumnCountChanges = false,
        };
        string[] header;
        using (var line = new CsvParser(new StringReader(first), configuration))
        {
            header = line.Read() ? [.. line.Record!.Select(Named)] : [];
        }

        if (header.Length > ColumnsMax || !header.Contains("sku", StringComparer.Ordinal) || header.GroupBy(column => column, StringComparer.Ordinal).Any(same => same.Count() > 1))
        {
            throw new FileUnreadableException($"The first line names the columns, each once, at most {ColumnsMax}, and 'sku' is one of them. It says: {first[..Math.Min(200, first.Length)]}");
        }

        using var parser = new CsvParser(reader, configuration);
        var at = 2L;
        while (true)
        {
            try
            {
                if (!await parser.ReadAsync())
                {
                    yield break;
                }
            }
            catch (MaxFieldSizeException)
            {
                throw new FileUnreadableException($"From line {at:N0} on there is a field of more than {LineCharsMax:N0} characters. A quote that is opened there and never closed looks like that.");
            }

            var record = parser.Record!;
            if (record.Length > 1 || record[0].Length > 0)
            {
                yield return record.Length > header.Length ? new FileRow(at, "", null, "row", $"has {record.Length:N0} fields, the first line {header.Length}") : Of(at, header, record, currency);
            }

            at = parser.RawRow + 2;
        }
    }

    // The name of a column as this reads it; people write them in their own case.
    private static string Named(string column)
    {
        if (column.StartsWith("attribute:", StringComparison.OrdinalIgnoreCase) && column.Length > 10)
        {
            return "attribute:" + column[10..].Trim();
        }

        return Columns.FirstOrDefault(known => known.Equals(column, StringComparison.OrdinalIgnoreCase)) ??
            throw new FileUnreadableException($"There is no column '{column[..Math.Min(60, column.Length)]}'; did you mean '{Columns.MinBy(known => Distance(known, column.ToLowerInvariant()))}'? Columns: {string.Join(", ", Columns)}, attribute:<name>.");
    }

    private static FileRow Of(long line, string[] header, string[] record, string? currencyOfAll)
    {
        var field = header.Zip(record).Where(pair => pair.Second.Length > 0).ToDictionary(pair => pair.First, pair => pair.Second, StringComparer.Ordinal);
        var sku = Text("sku") ?? "";
        var product = new JsonObject { ["sku"] = Text("sku"), ["title"] = Text("title"), ["description"] = Text("description"), ["imageUrl"] = Text("imageUrl") };
        if (field.TryGetValue("images", out var images))
        {
            product["images"] = new JsonArray([.. Parts(images).Select(url => (JsonNode)new JsonObject { ["url"] = url })]);
        }

        if (field.TryGetValue("categories", out var categories))
        {
            product["categories"] = new JsonArray([.. Parts(categories).Select(slug => (JsonNode)slug)]);
        }

        product["attributes"] = new JsonArray([.. field.Where(pair => pair.Key.StartsWith("attribute:", StringComparison.Ordinal)).Select(pair => (JsonNode)new JsonObject { ["name"] = pair.Key[10..], ["value"] = pair.Value })]);
        if (field.TryGetValue("isListed", out var listed))
        {
            if (!bool.TryParse(listed, out var isListed))
            {
                return new FileRow(line, sku, null, "isListed", "is true or false");
            }

            product["isListed"] = isListed;
        }

        if (field.Keys.FirstOrDefault(key => key is "formerPrice" or "formerCents") is { } alone && !field.Keys.Any(key => key is "price" or "priceCents"))
        {
            return new FileRow(line, sku, null, alone, "is what it cost before, and the row has no price of now");
        }

        if (field.Keys.Any(key => key is "price" or "priceCents"))
        {
            var currency = field.GetValueOrDefault("currency") ?? currencyOfAll;
            if (currency is null)
            {
                return new FileRow(line, sku, null, "currency", "is missing: give the column, or --currency EUR");
            }

            if (!Amount("price", "priceCents", out var now, out var wrong) | !Amount("formerPrice", "formerCents", out var former, out var wrongToo))
            {
                return new FileRow(line, sku, null, wrong is null ? "formerPrice" : "price", wrong ?? wrongToo!);
            }

            product["prices"] = new JsonArray(new JsonObject { ["currency"] = currency, ["amountCents"] = now, ["formerCents"] = former });

            bool Amount(string inWhole, string inCents, out long? cents, out string? says)
            {
                (cents, says) = (null, null);
                if (field.TryGetValue(inCents, out var minor))
                {
                    says = long.TryParse(minor, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && !field.ContainsKey(inWhole) ? null : $"'{inCents}' is a whole number, and '{inWhole}' is then left out";
                    cents = value;
                }
                else if (field.TryGetValue(inWhole, out var amount))
                {
                    says = Money.TryParse(amount, currency, out var value) ? null : $"'{amount[..Math.Min(40, amount.Length)]}' is no amount in {currency}: write it like {Money.Amount(1_250, currency)}";
                    cents = value;
                }

                return says is null;
            }
        }

        return new FileRow(line, sku, product);

        string? Text(string name) => field.GetValueOrDefault(name);

        static string[] Parts(string text) => text.Split('|', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
    }

    private static async IAsyncEnumerable<FileRow> JsonAsync(StreamReader reader)
    {
        // Its reader would put a sign of its own in the place of bytes that are not UTF-8.
        var text = Encoding.CreateTranscodingStream(reader.BaseStream, Utf8, Encoding.UTF8, leaveOpen: true);
        var item = 0L;
        await foreach (var element in JsonSerializer.DeserializeAsyncEnumerable<JsonElement>(text, Shallow))
        {
            yield return Of(++item, element.GetRawText());
        }
    }

    private static async IAsyncEnumerable<FileRow> LinesAsync(StreamReader reader)
    {
        for (var number = 1L; await LineAsync(reader) is { } line; number++)
        {
            if (line.Length > 0 && !string.IsNullOrWhiteSpace(line))
            {
                yield return Of(number, line);
            }
        }
    }

    private static FileRow Of(long number, string json)
    {
        try
        {
            if (JsonNode.Parse(json, documentOptions: Strict) is not JsonObject product)
            {
                return new FileRow(number, "", null, "row", "is no JSON object");
            }

            // Half of a sign (\ud800) is JSON, and no text: it is found by whoever writes it again.
            _ = JsonSerializer.SerializeToUtf8Bytes(product);
            return new FileRow(number, product["sku"] is JsonValue value && value.TryGetValue(out string? sku) ? sku : "", product);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return new FileRow(number, "", null, "row", "is no JSON, or says a name twice");
        }
    }

    // A line without its end, or null at the end of the file; never more than the bound in memory.
    private static async Task<string?> LineAsync(StreamReader reader)
    {
        var line = new StringBuilder();
        var one = new char[1];
        while (await reader.ReadAsync(one) == 1)
        {
            if (one[0] == '\n')
            {
                return line.ToString().TrimEnd('\r');
            }

            if (line.Append(one[0]).Length > LineCharsMax)
            {
                throw new FileUnreadableException($"There is a line of more than {LineCharsMax:N0} characters. Is this the format that --format says?");
            }
        }

        return line.Length > 0 ? line.ToString().TrimEnd('\r') : null;
    }

    // Levenshtein's: how many letters must be changed, added or taken away.
    private static int Distance(string one, string other)
    {
        var row = Enumerable.Range(0, other.Length + 1).ToArray();
        for (var i = 1; i <= one.Length; i++)
        {
            var (corner, _) = (row[0], row[0] = i);
            for (var j = 1; j <= other.Length; j++)
            {
                (corner, row[j]) = (row[j], Math.Min(Math.Min(row[j], row[j - 1]) + 1, corner + (char.ToLowerInvariant(one[i - 1]) == other[j - 1] ? 0 : 1)));
            }
        }

        return row[other.Length];
    }
}
