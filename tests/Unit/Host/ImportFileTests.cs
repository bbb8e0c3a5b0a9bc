using System.Text;
using Sluice.Host;
using Sluice.Modules.Catalog.Contracts;
using Xunit;

namespace Sluice.Tests.Unit.Host;

/// <summary>Files of products, as spreadsheets and programs write them, and as somebody breaks them.</summary>
public sealed class ImportFileTests
{
    [Theory]
    [InlineData("sku,title,price,currency\nmug,\"Mug, big\",12.50,EUR\n")]
    [InlineData("\ufeffSKU;Title;Price;Currency\r\nmug;\"Mug, big\";12.50;EUR\r\n")]
    [InlineData("sku\ttitle\tpriceCents\tcurrency\nmug\tMug, big\t1250\tEUR")]
    public async Task Csv_OfAnySeparatorAndLineEnd_IsOneProduct(string text)
    {
        var row = Assert.Single(await RowsAsync(text, "csv"));

        Assert.Equal((2L, "mug", "Mug, big", 1_250L, "EUR"),
            (row.Line, row.Sku, (string?)row.Product!["title"], (long)row.Product["prices"]![0]!["amountCents"]!, (string?)row.Product["prices"]![0]!["currency"]));
    }

    [Fact]
    public async Task Csv_WithEverything_IsWhatTheApiTakes()
    {
        var row = Assert.Single(await RowsAsync(
            "sku,title,description,images,price,formerPrice,categories,isListed,attribute:Colour\nm,M,\"Says\n\"\"hi\"\"\",/a.svg|/b.svg,8000,9000,a|b,false,=cmd()", "csv", currency: "JPY"));

        Assert.Equal(
            """{"sku":"m","title":"M","description":"Says\n\u0022hi\u0022","imageUrl":null,"images":[{"url":"/a.svg"},{"url":"/b.svg"}],"categories":["a","b"],"attributes":[{"name":"Colour","value":"=cmd()"}],"isListed":false,"prices":[{"currency":"JPY","amountCents":8000,"formerCents":9000}]}""",
            row.Product!.ToJsonString());
    }

    [Fact]
    public async Task Csv_RowsThatAreBad_AreToldWithTheLineInWhichTheyBegin()
    {
        var rows = await RowsAsync("sku,title,price,currency,isListed\na,\"two\nlines\",1,EUR,\n\nb,B,12.505,EUR,\nc,C,1,,\nd,D,,,perhaps\ne,E,1,EUR,true,more\nf,F,-1,EUR,\n", "csv");

        Assert.Equal([(2L, ""), (5, "price"), (6, "currency"), (7, "isListed"), (8, "row"), (9, "price")], rows.Select(row => (row.Line, row.Field)));
        Assert.All(rows.Skip(1), row => Assert.Null(row.Product));
        Assert.Equal(["a", "b", "c", "d", "", "f"], rows.Select(row => row.Sku));
    }

    [Fact]
    public async Task Csv_WithAFormerPriceAlone_IsBadAndNotTakenWithoutIt()
    {
        var rows = await RowsAsync("sku,title,formerPrice,formerCents,price,currency\na,A,9.50,,,EUR\nb,B,,950,,EUR\nc,C,9.50,,8,EUR\n", "csv");

        Assert.Equal([("formerPrice", false), ("formerCents", false), ("", true)], rows.Select(row => (row.Field, row.Product is not null)));
    }

    // The API refuses a NUL in a text; here it is one sign among others, and ends nothing.
    [Fact]
    public async Task Csv_WithANulByte_IsReadToItsEnd() =>
        Assert.Equal(["a\0b", "c"], (await RowsAsync("sku,title\nx,a\0b\ny,c\n", "csv")).Select(row => (string?)row.Product!["title"]));

    [Theory]
    [InlineData("", "csv", "no header line")]
    [InlineData("title,price\nM,1\n", "csv", "'sku' is one of them")]
    [InlineData("sku,sku\na,b\n", "csv", "each once")]
    [InlineData("sku,titel\na,b\n", "csv", "did you mean 'title'")]
    [InlineData("[{\"sku\":\"a\"},", "json", "After row")]
    [InlineData("sku,title", "json", "After row 0")]
    [InlineData("{\"sku\":\"a\"}\n{\"sku\":\"b\"}", "json", "--format jsonl")]
    [InlineData("sku,title\ra,A\rb,B\r", "csv", "CR alone")]
    public async Task File_ThatIsNoSuchFile_IsRefusedWithWhatToDo(string text, string format, string says) =>
        Assert.Contains(says, (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync(text, format))).Message, StringComparison.Ordinal);

    [Fact]
    public async Task File_OfLongLinesOrNoText_EndsBeforeItFillsTheMemory()
    {
        var line = new string('x', 2 << 20);
        Assert.Contains("more than", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync(line, "jsonl"))).Message, StringComparison.Ordinal);
        Assert.Contains("more than", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync($"sku,{line}", "csv"))).Message, StringComparison.Ordinal);
        Assert.Contains("From line 2", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync($"sku,title\na,\"{line}", "csv"))).Message, StringComparison.Ordinal);

        // Many small fields, one long text, or nothing at all: what waits for the end of a row is bounded too.
        Assert.Contains("end of a row", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync($"sku,title\na{new string(',', 6 << 20)}", "csv"))).Message, StringComparison.Ordinal);
        Assert.Contains("end of a row", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync($"[{{\"sku\":\"{new string('x', 6 << 20)}\"}}]", "json"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task File_OfTheLongestRowsThatAreTaken_IsReadWhole()
    {
        var title = new string('x', 1_000_000);
        Assert.Equal(9, (await RowsAsync("sku,title\n" + string.Concat(Enumerable.Range(0, 9).Select(i => $"s{i},{title}\n")), "csv")).Count);
        Assert.Equal(9, (await RowsAsync($"[{string.Join(',', Enumerable.Range(0, 9).Select(i => $"{{\"sku\":\"s{i}\",\"title\":\"{title}\"}}"))}]", "json")).Count);
    }

    [Fact]
    public async Task File_OfMoreRowsThanOneMayHave_EndsThere()
    {
        Assert.Equal(3, (await RowsAsync("sku\na\nb\nc\n"u8.ToArray(), "csv", rowsMax: 3)).Count);
        Assert.Contains("more than 3 rows", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync("sku\na\nb\nc\nd\n"u8.ToArray(), "csv", rowsMax: 3))).Message, StringComparison.Ordinal);
        Assert.Equal(1_000_000, ImportFile.RowsMax);
    }

    [Theory]
    [InlineData("csv")]
    [InlineData("json")]
    [InlineData("jsonl")]
    public async Task File_ThatIsNotUtf8_IsRefusedAndNothingInItGuessed(string format)
    {
        var text = format == "csv" ? "sku,title\na,T\u00e4st\n" : "[{\"sku\":\"a\",\"title\":\"T\u00e4st\"}]";
        foreach (var encoding in new[] { Encoding.Latin1, Encoding.Unicode, Encoding.BigEndianUnicode })
        {
            Assert.Contains("not UTF-8", (await Assert.ThrowsAsync<FileUnreadableException>(() => RowsAsync([.. encoding.Preamble, .. encoding.GetBytes(text)], format))).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("{\"sku\":\"a\",\"sku\":\"b\"}")]
    [InlineData("{\"sku\":\"a\\ud800\"}")]
    [InlineData("{\"sku\":\"a\",\"title\":\"\\udc00\"}")]
    [InlineData("{\"\\ud800\":1}")]
    public async Task Json_ThatIsNoText_IsOneBadRowAndHoldsUpNoOther(string item)
    {
        Assert.Equal([false, true], (await RowsAsync(item + "\n{\"sku\":\"b\"}", "jsonl")).Select(row => row.Product is not null));
        Assert.Equal([false, true], (await RowsAsync($"[{item},{{\"sku\":\"b\"}}]", "json")).Select(row => row.Product is not null));
    }

    [Fact]
    public async Task File_ThatSaysNothing_IsWaitedForNoLongerThanItIsWanted()
    {
        using var stop = new CancellationTokenSource();
        using var reader = ImportFile.Open(new SilentStream(), stop.Token);
        var rows = ImportFile.ReadAsync(reader, "csv", separator: null, currency: null, stop.Token).GetAsyncEnumerator(CancellationToken.None);
        var next = rows.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Json_InLinesOrAsAnArray_IsReadItemByItem()
    {
        Assert.Equal([(1L, "a", true), (3, "", false), (4, "b", true), (5, "", false)], (await RowsAsync("{\"sku\":\"a\"}\n\n5\n{\"sku\":\"b\"}\n{", "jsonl")).Select(row => (row.Line, row.Sku, row.Product is not null)));
        Assert.Equal([(1L, "a", true), (2, "", false), (3, "", true)], (await RowsAsync("\ufeff[{\"sku\":\"a\"}, null, {\"sku\":7}]", "json")).Select(row => (row.Line, row.Sku, row.Product is not null)));
    }

    [Theory]
    [InlineData("12.50", "EUR", 1_250)]
    [InlineData("12.5", "EUR", 1_250)]
    [InlineData("8000", "JPY", 8_000)]
    [InlineData("1.234", "KWD", 1_234)]
    [InlineData("8000.5", "JPY", null)]
    [InlineData("12,50", "EUR", null)]
    [InlineData("1e3", "EUR", null)]
    [InlineData(" 1", "EUR", null)]
    [InlineData("99999999999999999999", "EUR", null)]
    public void Amount_IsExactOrNone(string text, string currency, int? cents) => Assert.Equal((cents is not null, cents ?? 0), (Money.TryParse(text, currency, out var minor), cents is null ? 0 : (int)minor));

    private static Task<List<FileRow>> RowsAsync(string text, string format, string? currency = null) => RowsAsync(Encoding.UTF8.GetBytes(text), format, currency);

    private static async Task<List<FileRow>> RowsAsync(byte[] bytes, string format, string? currency = null, int rowsMax = ImportFile.RowsMax)
    {
        using var reader = ImportFile.Open(new MemoryStream(bytes), CancellationToken.None);
        var rows = new List<FileRow>();
        await foreach (var row in ImportFile.ReadAsync(reader, format, separator: null, currency, CancellationToken.None, rowsMax))
        {
            rows.Add(row);
        }

        return rows;
    }

    // As standard input is while nobody writes: it heeds no token.
    private sealed class SilentStream : MemoryStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(new TaskCompletionSource<int>().Task);
    }
}
