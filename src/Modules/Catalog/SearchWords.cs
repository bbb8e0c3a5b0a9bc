using System.Text;

namespace Sluice.Modules.Catalog;

/// <summary>
/// The words that a product is found by. Letters and digits of any script, small; what is written without spaces (Chinese, Japanese, Korean) by each sign and each pair of neighbours. The same on every SQL engine.
/// </summary>
internal static class SearchWords
{
    /// <summary>Terms of a question that count; the rest is passed over.</summary>
    public const int TermsMax = 6;

    private const int WordsPerProductMax = 400, WordCharsMax = 40;

    // Behind every word that begins so. (Words of signs have two at most, so a pair's beginning is the pair.)
    private const string AfterAll = "\U0010FFFF";

    private const int InTitle = 8, InAttribute = 3, InDescription = 1;

    /// <summary>Each word once, with the most that it weighs.</summary>
    public static IReadOnlyList<KeyValuePair<string, int>> Of(Product product)
    {
        var words = new Dictionary<string, int>(StringComparer.Ordinal);
        Add(product.Sku.ToLowerInvariant(), InTitle);
        Read(product.Sku, InTitle);
        Read(product.Title, InTitle);
        foreach (var attribute in product.Details.Attributes)
        {
            Read(attribute.Value!, InAttribute);
        }

        Read(product.Description ?? "", InDescription);
        return [.. words];

        void Read(string text, int weight)
        {
            foreach (var (run, isDense) in Runs(text))
            {
                if (!isDense)
                {
                    Add(run, weight);
                    continue;
                }

                var signs = run.EnumerateRunes().ToList();
                for (var i = 0; i < signs.Count; i++)
                {
                    Add(signs[i].ToString(), weight);
                    if (i + 1 < signs.Count)
                    {
                        Add(signs[i].ToString() + signs[i + 1], weight);
                    }
                }
            }
        }

        void Add(string word, int weight)
        {
            word = word.Length <= WordCharsMax ? word : Cut(word);
            if (words.TryGetValue(word, out var before) ? before < weight : words.Count < WordsPerProductMax)
            {
                words[word] = weight;
            }
        }
    }

    /// <summary>What a question asks for: each term must be found; a term that is a word is found by its beginning.</summary>
    /// <returns>From each term to what comes after all that begin with it.</returns>
    public static IReadOnlyList<(string From, string To)> Terms(string question)
    {
        var terms = new List<(string From, string To)>();
        foreach (var (run, isDense) in Runs(question))
        {
            if (!isDense)
            {
                var word = run.Length <= WordCharsMax ? run : Cut(run);
                terms.Add((word, word + AfterAll));
                continue;
            }

            var signs = run.EnumerateRunes().ToList();
            for (var i = 0; i < Math.Max(1, signs.Count - 1); i++)
            {
                var pair = signs.Count == 1 ? signs[0].ToString() : signs[i].ToString() + signs[i + 1];
                terms.Add((pair, pair + AfterAll));
            }
        }

        return [.. terms.Distinct().Take(TermsMax)];
    }

    private static string Cut(string word) => char.IsHighSurrogate(word[WordCharsMax - 1]) ? word[..(WordCharsMax - 1)] : word[..WordCharsMax];

    private static IEnumerable<(string Run, bool IsDense)> Runs(string text)
    {
        var run = new StringBuilder();
        var wasDense = false;
        foreach (var rune in text.EnumerateRunes())
        {
            var isDense = rune.Value is (>= 0x3040 and <= 0x30FF) or (>= 0x3400 and <= 0x9FFF) or (>= 0xAC00 and <= 0xD7AF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x20000 and <= 0x3FFFF);
            var isWord = isDense || Rune.IsLetterOrDigit(rune) || Rune.GetUnicodeCategory(rune) is System.Globalization.UnicodeCategory.NonSpacingMark or System.Globalization.UnicodeCategory.SpacingCombiningMark;
            if (run.Length > 0 && (!isWord || isDense != wasDense))
            {
                yield return (run.ToString(), wasDense);
                run.Clear();
            }

            if (isWord)
            {
                run.Append(Rune.ToLowerInvariant(rune));
                wasDense = isDense;
            }
        }

        if (run.Length > 0)
        {
            yield return (run.ToString(), wasDense);
        }
    }
}
