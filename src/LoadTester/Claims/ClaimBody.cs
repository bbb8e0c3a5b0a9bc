using System.Text.Json;

namespace Sluice.LoadTester.Claims;

/// <summary>The two fields of a claim's answer that the load tester needs, read without building a document.</summary>
internal static class ClaimBody
{
    /// <summary>Reads top-level <c>claimId</c> and <c>code</c>. A body that is not whole JSON gives what was read before the fault.</summary>
    public static (string? ClaimId, string? Code) Read(ReadOnlySpan<byte> body)
    {
        string? claimId = null, code = null;
        var reader = new Utf8JsonReader(body, isFinalBlock: true, default);
        try
        {
            while (reader.Read())
            {
                if (reader.CurrentDepth != 1 || reader.TokenType != JsonTokenType.PropertyName)
                {
                    continue;
                }

                if (reader.ValueTextEquals("claimId"u8))
                {
                    claimId = Text(ref reader);
                }
                else if (reader.ValueTextEquals("code"u8))
                {
                    code = Text(ref reader);
                }
            }
        }
        catch (JsonException)
        {
            // A proxy's HTML page, or a body cut off. The status still says what happened; a 2xx without an id becomes Unexpected.
        }

        return (claimId, code);
    }

    private static string? Text(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType == JsonTokenType.String ? reader.GetString() : null;
}
