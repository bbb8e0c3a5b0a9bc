using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Http;

/// <summary>
/// An example of a page: a fenced <c>sh</c> block. It runs, unless its fence says <c>sh no-run</c>. A fenced <c>http</c>, <c>json</c> or <c>text</c> block right under it is
/// everything that it prints.
/// </summary>
/// <param name="Line">Where the block begins, from 1.</param>
/// <param name="ShownAs"><c>http</c>, <c>json</c>, <c>text</c>, or null when the page does not show what is printed.</param>
public sealed record PageExample(string Page, int Line, string Commands, string? ShownAs, string Shown)
{
    public string Where => $"{Page}:{Line}";

    /// <summary>The examples of a page that run, from top to bottom.</summary>
    public static IReadOnlyList<PageExample> Of(string page)
    {
        var lines = File.ReadAllLines(Path.Combine(Programs.Root, page));
        var blocks = new List<(string Fence, int From, int To)>();
        for (var i = 0; i < lines.Length; i++)
        {
            if (lines[i].StartsWith("```", StringComparison.Ordinal))
            {
                var end = Array.IndexOf(lines, "```", i + 1);
                Assert.True(end > 0, $"{page}:{i + 1}: the block has no end.");
                blocks.Add((lines[i][3..].Trim(), i + 1, end));
                i = end;
            }
        }

        var examples = new List<PageExample>();
        for (var i = 0; i < blocks.Count; i++)
        {
            if (blocks[i].Fence == "sh")
            {
                var shown = i + 1 < blocks.Count && blocks[i + 1].Fence is "http" or "json" or "text" && blocks[i + 1].From == blocks[i].To + 2 ? blocks[i + 1] : default;
                examples.Add(new(page, blocks[i].From, Text(blocks[i]), shown.Fence, shown.Fence is null ? "" : Text(shown)));
            }
        }

        return examples;

        string Text((string Fence, int From, int To) block) => string.Join('\n', lines[block.From..block.To]) + '\n';
    }

    /// <summary>What is wrong with what it printed, or null.</summary>
    public string? WrongAsPrinted(string printed)
    {
        printed = printed.ReplaceLineEndings("\n");
        return ShownAs switch
        {
            null => null,
            "text" => IsLike(Shown.TrimEnd(), printed.TrimEnd()) ? null : "the text is another",
            "json" => WrongAsJson("$", ShownJson.Read(Shown), JsonNode.Parse(printed)),
            _ => WrongAsHttp(printed),
        };
    }

    private string? WrongAsHttp(string printed)
    {
        var (shown, real) = (Shown.Split("\n\n", 2), printed.Split("\n\n", 2));
        var heads = real[0].Split('\n');
        foreach (var line in shown[0].TrimEnd().Split('\n'))
        {
            // The status line word by word, a header wherever it stands.
            var found = line.StartsWith("HTTP/", StringComparison.Ordinal) ? IsLike(line, heads[0].TrimEnd()) : heads.Skip(1).Any(head => IsLike(line, head));
            if (!found)
            {
                return $"there is no '{line}'";
            }
        }

        return shown.Length < 2 ? null : real.Length < 2 ? "there is no body" : WrongAsJson("$", ShownJson.Read(shown[1]), JsonNode.Parse(real[1]));
    }

    // Everything that is shown must be there and the same; more may be there only where the page shows "…".
    private static string? WrongAsJson(string path, JsonNode? shown, JsonNode? real)
    {
        switch (shown)
        {
            case JsonValue value when value.TryGetValue<string>(out var text) && text == ShownJson.Anything:
                return null;
            case JsonValue value when value.TryGetValue<string>(out var text) && text.Contains('…', StringComparison.Ordinal):
                return real is JsonValue other && other.TryGetValue<string>(out var found) && IsLike(text, found) ? null : $"{path} is {Start(real)}, not like \"{text}\"";
            case JsonObject object_:
                if (real is not JsonObject fields)
                {
                    return $"{path} is {Start(real)}, not an object";
                }

                var more = fields.Select(field => field.Key).Where(name => !object_.ContainsKey(name)).ToList();
                return !object_.ContainsKey(ShownJson.More) && more.Count > 0 ? $"{path} has '{string.Join("', '", more)}' that the page does not show"
                    : object_.Where(field => field.Key != ShownJson.More)
                        .Select(field => fields.ContainsKey(field.Key) ? WrongAsJson($"{path}.{field.Key}", field.Value, fields[field.Key]) : $"{path} has no '{field.Key}'")
                        .FirstOrDefault(wrong => wrong is not null);
            case JsonArray items:
                if (real is not JsonArray array)
                {
                    return $"{path} is {Start(real)}, not an array";
                }

                var isOpen = items.Count > 0 && items[^1] is JsonValue last && last.TryGetValue<string>(out var end) && end == ShownJson.Anything;
                var count = isOpen ? items.Count - 1 : items.Count;
                return array.Count < count || (!isOpen && array.Count > count) ? $"{path} has {array.Count} items"
                    : items.Take(count).Select((item, index) => WrongAsJson($"{path}[{index}]", item, array[index])).FirstOrDefault(wrong => wrong is not null);
            default:
                return JsonNode.DeepEquals(shown, real) ? null : $"{path} is {Start(real)}, not {Start(shown)}";
        }
    }

    private static string Start(JsonNode? node) => node?.ToJsonString() is { } text ? text[..Math.Min(80, text.Length)] : "null";

    private static bool IsLike(string shown, string real) =>
        Regex.IsMatch(real, $@"\A{Regex.Escape(shown).Replace("…", ".+", StringComparison.Ordinal)}\z", RegexOptions.Singleline, TimeSpan.FromSeconds(1));
}

/// <summary>JSON as a page shows it: <c>…</c> for a value is anything, as the last of an object or an array it is whatever else there is.</summary>
internal static class ShownJson
{
    public const string Anything = "(anything)", More = "(more)";

    public static JsonNode? Read(string shown)
    {
        var json = new StringBuilder();
        var (isText, containers, before) = (false, new Stack<char>(), ' ');
        foreach (var c in shown)
        {
            if (c == '…' && !isText)
            {
                json.Append(before != ':' && containers.Peek() == '{' ? $"\"{More}\":0" : $"\"{Anything}\"");
            }
            else
            {
                json.Append(c);
            }

            if (c == '"' && before != '\\')
            {
                isText = !isText;
            }
            else if (!isText && c is '{' or '[')
            {
                containers.Push(c);
            }
            else if (!isText && c is '}' or ']')
            {
                containers.Pop();
            }

            before = char.IsWhiteSpace(c) ? before : c;
        }

        return JsonNode.Parse(json.ToString());
    }
}
