namespace Sluice.Tests.Integration.Http;

/// <summary>Callers who are gone before they are answered.</summary>
public sealed class HangUpTests(HttpShop shop) : IClassFixture<HttpShop>
{
    // Kestrel's own line when a connection is reset while a body is read: it tries to read the rest. Nothing of ours can keep it from that.
    private const string DrainAfterReset = "Microsoft.AspNetCore.Server.Kestrel[67]";

    [Theory]
    [InlineData("POST /v1/tokens", "X-Api-Key: {key}", "{\"userId\"")]
    [InlineData("PUT /v1/products/kettle", "X-Api-Key: {key}", "{\"title\":\"K\"")]
    [InlineData("POST /v1/flash-sales/{sale}/claims", "Authorization: Bearer {token}", "{\"units\"")]
    [InlineData("POST /v1/flash-sales/{sale}/stock", "X-Api-Key: {key}", "{\"addUnits\":1")]
    [InlineData("POST /v1/orders/{order}/pay", "Sluice-Signature: t=1,v1=00", "{")]
    public async Task Caller_WhoHangsUpInTheBody_ChangesNothing(string line, string who, string body)
    {
        var before = await shop.StateAsync();
        for (var turn = 0; turn < 10; turn++)
        {
            using var connection = await RawConnection.OpenAsync(shop.Server.Port);
            await connection.TrySendAsync(Filled($"{line} HTTP/1.1\r\nHost: a\r\n{who}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"));

            // "Go on" is said when the route begins to read, so it is in the middle of it now.
            Assert.Contains("100 Continue", await connection.ReadAsync(enough: "\r\n\r\n"), StringComparison.Ordinal);
            await connection.TrySendAsync(body);
            if (turn % 2 == 0)
            {
                connection.Abort();
            }
        }

        Assert.Equal(before, await shop.StateAsync());
        await shop.AssertUnharmedAsync(DrainAfterReset);
    }

    [Fact]
    public async Task Caller_WhoHangsUpDuringAStream_LeavesNoTrace()
    {
        for (var turn = 0; turn < 10; turn++)
        {
            using var connection = await RawConnection.OpenAsync(shop.Server.Port);
            await connection.TrySendAsync($"GET /v1/claims/{shop.Order} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {shop.Buyer}\r\nAccept: text/event-stream\r\n\r\n");
            connection.Abort();
        }

        await shop.AssertUnharmedAsync(DrainAfterReset);
    }

    private string Filled(string request) => shop.Fill(request)
        .Replace("{key}", shop.Server.AdminKey, StringComparison.Ordinal).Replace("{token}", shop.Stranger, StringComparison.Ordinal);
}
