using System.Net;
using System.Text.RegularExpressions;

namespace Sluice.Tests.Browser;

/// <summary>The little shop of <c>--demo</c>, which is the first thing that anybody sees of Sluice.</summary>
public sealed partial class DemoShopTests(Shop shop)
{
    // The other tests make sales in the same shop, and each is linked from the first page.
    private const int AddressesMax = 1_000;

    [Fact]
    public async Task EveryAddressThatAPageNames_IsThere()
    {
        using var http = new HttpClient { BaseAddress = shop.Address };
        var (next, known, wrong) = (new Queue<string>(["/"]), new HashSet<string>(["/"], StringComparer.Ordinal), new List<string>());
        while (next.TryDequeue(out var address) && known.Count < AddressesMax)
        {
            using var answer = await http.GetAsync(address);
            if (!answer.IsSuccessStatusCode)
            {
                wrong.Add($"{address}: {(int)answer.StatusCode}");
            }
            else if (answer.Content.Headers.ContentType?.MediaType == "text/html")
            {
                foreach (var named in Named().Matches(await answer.Content.ReadAsStringAsync()).Select(match => WebUtility.HtmlDecode(match.Groups["address"].Value)).Where(known.Add))
                    next.Enqueue(named);
            }
        }

        Assert.Empty(wrong);
        Assert.All(["/sales/", "/products/", "/categories/", "/account", "/orders", "/img/", "/assets/"], kind => Assert.Contains(known, address => address.StartsWith(kind, StringComparison.Ordinal)));
    }

    [GeneratedRegex("""(?:href|src)="(?<address>/[^"#]*)""", RegexOptions.ExplicitCapture)]
    private static partial Regex Named();
}
